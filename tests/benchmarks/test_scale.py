"""Time of the runner's bookkeeping at scale. Run by name: pytest tests/benchmarks/test_scale.py

Measured on 2 cores: 100 000 runs expand in 1.2 s (loading the suite's YAML, 12 000 cells at three scales, takes 1.6 s
more), 20 000 records load into a DataFrame in 6 s.
"""

from __future__ import annotations

import json

import pytest

from throughtime.records.results import KEYS, Results
from throughtime.records.store import Store
from throughtime.suites.suite import load_suite

RUNS, RECORDS = 100_000, 20_000

pytestmark = pytest.mark.slow


def lines(pattern: str, n: int) -> str:
    return "\n".join(f"  - {{{pattern.format(i)}}}" for i in range(1, n + 1))


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """20 rules x 10 neurons x 20 datasets x 25 replicates."""
    path = tmp_path_factory.mktemp("big") / "big.yaml"
    path.write_text(
        "suite: big\nsummary: Many runs.\n"
        f"rules:\n{lines('name: tbptt, window: {0}, label: w{0}', 20)}\n"
        f"neurons:\n{lines('name: lif, tau: {0}, label: n{0}', 10)}\n"
        f"datasets:\n{lines('name: adding, steps: 3{0}, label: d{0}', 20)}\n"
        "replicates: 25\nscales: {tiny: {}, laptop: {}, paper: {}}\n"
    )
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Records of a whole run, measured in all passes, again and again under other ids."""
    from tests.synthetic_records import grid_store

    grid = grid_store(tmp_path_factory.mktemp("grid"))
    records = [json.loads((stored.folder / "record.json").read_text()) for stored in grid.records()]
    root = tmp_path_factory.mktemp("many")
    for i in range(RECORDS):
        record = {**records[i % len(records)], "id": f"{i:012x}"}
        folder = root / "quick" / record["id"]
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record, indent=2))
    return Store(root)


def test_load_a_suite(benchmark, suite):
    assert benchmark.pedantic(lambda: load_suite(suite), rounds=3).name == "big"


def test_expand_a_suite(benchmark, suite):
    loaded = load_suite(suite)
    assert len(benchmark.pedantic(lambda: loaded.expand("laptop"), rounds=3)) == RUNS


def test_records_into_a_frame(benchmark, store):
    frame = benchmark.pedantic(lambda: Results(store.folder).frame, rounds=3)
    assert len(frame) + frame.drop_duplicates(KEYS)["superseded"].sum() == RECORDS
