"""A rule's remarks and its own measures are in the record and beside the numbers in every table."""

from __future__ import annotations

import json

import pytest

from throughtime.commands.main import main
from throughtime.records.store import Store, read_curve

SUITE = """\
suite: remarks
summary: e-prop on a neuron it approximates, and FPTT beside it.
rules: [eprop, fptt, {name: eprop, label: adaptive, feedback: adaptive}]
neurons: [ltc, lif]
networks: [{name: recurrent, hidden: [4]}]
datasets: [{name: digits, steps: 8}]
include: [{rule: bptt, neuron: lstm, dataset: digits}]
passes: [train]
replicates: 1
training: {epochs: 2, batch: 64}
scales: {tiny: {}, laptop: {}, paper: {}}
"""
DIAGONAL = "eligibility through the diagonal of the state Jacobian only"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remarks")
    (folder / "remarks.yaml").write_text(SUITE)
    assert main(["run", str(folder / "remarks.yaml"), "--scale", "tiny", "--results", str(folder / "runs")]) == 0
    return folder / "runs"


@pytest.fixture(scope="module")
def records(results):
    return {stored.record.label: stored for stored in Store(results).records()}


def test_the_approximation_is_in_the_record_where_it_is_made(records):
    remarks = {label: stored.record.remark for label, stored in records.items()}
    assert remarks.pop("eprop ltc digits #0") == remarks.pop("adaptive ltc digits #0") == DIAGONAL
    assert set(remarks.values()) == {None}


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "csv"])
def test_every_table_names_the_approximation(results, capsys, form):
    assert main(["table", "--results", str(results), "--format", form]) == 0
    assert DIAGONAL in capsys.readouterr().out


def test_the_regularisers_share_is_in_record_and_curve(records, results, capsys):
    for label, stored in records.items():
        rows, ratio = read_curve(stored.folder), stored.record.measures.get("regulariser_ratio")
        if not label.startswith("fptt"):
            assert ratio is None and all("regulariser_ratio" not in row for row in rows)
            continue
        assert 0 < ratio.value < 1 and ratio.value == rows[-1]["regulariser_ratio"]
    assert main(["table", "--results", str(results), "--measure", "regulariser_ratio", "--format", "csv"]) == 0
    assert "regulariser_ratio" in capsys.readouterr().out


def test_cells_that_do_not_spike_have_no_firing_rate(records):
    stored = records["bptt lstm digits #0"]
    rate = stored.record.measures["firing_rate"]
    assert (rate.value, rate.missing) == (None, "these cells do not spike")
    assert [row["firing_rate"] for row in read_curve(stored.folder)] == [None, None]
    assert records["fptt lif digits #0"].record.measures["firing_rate"].value is not None


def test_records_are_plain_json(records):
    for stored in records.values():
        json.loads((stored.folder / "record.json").read_text(), parse_constant=pytest.fail)
