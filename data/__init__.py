"""Files that ship with galfit_sr; found with `importlib.resources.files("galfit_sr_data")`."""
