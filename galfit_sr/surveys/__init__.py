"""Many galaxies: their fits on Dask's workers, and the catalogue that they end in."""
