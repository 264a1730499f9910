"""From the parameters of a galaxy to its maps."""
