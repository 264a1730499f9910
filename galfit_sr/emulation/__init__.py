"""Super-resolution: emulators that turn the model on few pixels into the maps on many, and how they are trained."""
