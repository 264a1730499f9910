"""Settings of JAX that make fits fast, and that must be made before it computes anything."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from .processes import cores_here, use_cores


def start_jax(x64: bool | None = None) -> None:
    """Have all cores work on fits, and keep compiled programs for the next session.

    The first line of a script or notebook; the command line does the same. JAX shows one device for all cores of a CPU
    unless it is told otherwise, and walks, gradients and chains are spread over devices. What is set already is left
    alone: the environment variables `JAX_NUM_CPU_DEVICES` and `JAX_COMPILATION_CACHE_DIR` go first, and GPUs are used
    as they are. Programs are kept in `~/.cache/galfit_sr/xla`, or where `XDG_CACHE_HOME` says.

    Args:
        x64: double (True) or single (False) precision; None leaves JAX as it is, in single precision.

    Warns:
        RuntimeWarning: JAX has computed something already, and goes on with fewer devices.
    """
    import jax  # takes seconds, and `galfit-sr --help` does not need it

    if x64 is not None:
        jax.config.update("jax_enable_x64", x64)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "galfit_sr" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # small ones are many
    try:
        use_cores()
    except RuntimeError:
        if jax.default_backend() == "cpu" and jax.device_count() < cores_here():
            warnings.warn(
                f"JAX has computed already, and goes on with {jax.device_count()} device for {cores_here()} cores: call"
                " start_jax() first, in a new session",
                RuntimeWarning,
                stacklevel=2,
            )
