"""Programs that one process compiles serve all others of the tests: workers, commands and notebooks that they start.

They stay for the next run, in pytest's own folder, and nothing is written into the user's cache.
"""

import os
from pathlib import Path

# Read by JAX when it is imported, here and in whatever is started from here.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".pytest_cache" / "d" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
