"""What the processes of the tests share: workers, commands and notebooks that they start included.

Programs that one compiles serve all others. They stay for the next run, in pytest's own folder, and nothing is written
into the user's cache. Since there are as many processes as cores, each computes with one thread: two with two threads
each take a quarter more time than two with one, since threads that wait for work keep a core busy.
"""

import os
from pathlib import Path

# Read by JAX when it is imported, here and in whatever is started from here.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".pytest_cache" / "d" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Read by XLA and by BLAS when they start.
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
