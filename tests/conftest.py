"""One thread: two on a busy machine can be a hundred times slower."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
