"""Run all suites of the package at one scale, one after the other, then write the report.

    python run_all.py                        all suites, laptop scale
    python run_all.py quick memory           two suites
    python run_all.py --scale paper

Recorded runs are skipped, so the same command continues an interrupted sweep.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# On the path, the folders `datasets/`, `networks/`, ... would shadow packages of those names.
HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]


def main() -> int:
    """Run each suite, then write the report; return the highest exit code. Usage errors and Ctrl-C end it at once."""
    from throughtime.commands.main import main as throughtime
    from throughtime.suites.suite import suite_names

    parser = argparse.ArgumentParser(description="Run suites and write the report.")
    parser.add_argument("suites", nargs="*", help="names or YAML files; default: all suites of the package")
    parser.add_argument("--scale", default="laptop", help="tiny, laptop or paper")
    parser.add_argument("--results", default="results/runs", help="folder of results")
    parser.add_argument("--out", default="reports/out", help="folder of the report")
    arguments = parser.parse_args()

    worst = 0
    for suite in arguments.suites or suite_names():
        print(f"-- {suite}, {arguments.scale}", flush=True)
        code = throughtime(["run", suite, "--scale", arguments.scale, "--results", arguments.results])
        if code not in (0, 1):
            return code
        worst = max(worst, code)
    return max(worst, throughtime(["report", "--results", arguments.results, "--out", arguments.out]))


if __name__ == "__main__":
    sys.exit(main())
