"""Double precision for every test, and no silent change of rank; tests of float32 pass float32 arrays."""

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
