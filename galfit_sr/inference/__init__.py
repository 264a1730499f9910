"""From an observation and a model to a posterior, and what to make of its numbers."""
