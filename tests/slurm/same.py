"""Two results folders hold the same runs with the same numbers, times apart; exits with 1 and prints differences."""

from __future__ import annotations

import sys

from throughtime.records.store import Store
from throughtime.running.rerun import differences


def main(first: str, other: str) -> int:
    before, now = ({s.record.label: s for s in Store(folder).records()} for folder in (first, other))
    wrong = [f"{label}: only in one of them" for label in before.keys() ^ now.keys()]
    for label in before.keys() & now.keys():
        wrong += [
            f"{label}: {d.what}: {d.before} -> {d.now}" for d in differences(before[label], now[label]) if d.counts
        ]
    print("\n".join(wrong) if wrong else f"{len(now)} runs, the same numbers")
    return bool(wrong) or not now


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
