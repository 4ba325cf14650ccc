"""Everything at one scale: the shipped suites, then the report.

    python run_all.py --scale laptop

The suites run one after the other; a run that has its record is not run again, so the command goes on where it stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This folder holds `datasets/`, `networks/`, ...: on the path they would shadow packages of those names.
HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]


def main() -> None:
    """Run each suite, then write the report."""
    from throughtime.everything import run_everything

    run_everything(sys.argv[1:])


if __name__ == "__main__":
    main()
