"""The line that is printed when a run has ended."""

from __future__ import annotations

import pytest

from tests.synthetic_records import measure, put, results, run_spec
from throughtime.records.files import RECORD
from throughtime.records.record import read_record
from throughtime.running.progress import describe


@pytest.mark.parametrize("zeroed", [0, 7])
def test_the_line_of_a_run_says_how_many_updates_clipping_set_to_zero(store, zeroed):
    measures = results("mse", 0.125, 1 / 6) | {"peak_process_bytes": measure(1010 * 2**20, "byte")}
    measures |= {"zeroed_updates": measure(zeroed, "update")} if zeroed else {}
    record = read_record(put(store, run_spec("bptt ltc adding"), metric="mse", measures=measures) / RECORD)
    note = "  updates set to 0 as the gradient overflowed: 7" if zeroed else ""
    assert describe(record) == f"ok  {record.label}  mse 0.125  peak 1010 MiB{note}  62.0 s"
