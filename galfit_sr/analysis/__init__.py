"""What is made of a posterior: figures, profiles, reports, run folders; and yardsticks for the model."""
