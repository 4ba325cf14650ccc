"""The lock under which a user's measuring passes run on a machine, one at a time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MACHINE_LOCK = Path(tempfile.gettempdir()) / f"throughtime-{os.getuid()}.lock"
"""Its file, for `filelock.FileLock`."""
