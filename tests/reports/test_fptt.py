"""The figure of the paper `fptt`: its labels agree with the run."""

from __future__ import annotations

import math

import pytest

from tests.synthetic_records import measure, put, results, run_spec
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.drawing import save
from throughtime.reports.fptt.figures import draw

CURVE = [0.2, 0.1, 0.01, 0.001]
RULES = ("fptt", "fptt-authors", "bptt")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def put_run(store, rule, replicate=0, status="ok", curve=CURVE, steps=200, hidden=128, batch=128, **fields):
    spec = run_spec(f"{rule} ltc adding", replicate, suite="fptt", steps=steps, hidden=hidden, batch=batch)
    fields = {"measures": results("mse", 0.1, 1 / 6), **fields}
    return put(store, spec, status, curve=curve, metric="mse", **fields)


def legend(drawn):
    return [text.get_text() for text in drawn.figure.legends[0].get_texts()]


def crosses(drawn):
    """(x, y) of the crosses, and the title of their panel."""
    found = [(panel, line) for panel in drawn.figure.axes for line in panel.lines if line.get_marker() == "x"]
    return [(panel.get_title(loc="left"), *line.get_xdata(), *line.get_ydata()) for panel, line in found]


def test_published_curves_stand_behind_the_rules_that_they_are_of(store, tmp_path):
    for rule in RULES:
        put_run(store, rule)
    drawn = draw(Results(store.folder), "laptop")
    published = drawn.data[drawn.data["source"] == "published"]
    assert set(published[["run", "rule"]].itertuples(index=False, name=None)) == {
        ("snn_fptt_mem_200", "fptt-authors"),
        ("snn_v2_fptt_mem_200", "fptt-authors"),
        ("snn_bptt_mem_200", "bptt"),
    }
    assert published["iteration"].max() == 40
    assert published.query("run == 'snn_v2_fptt_mem_200'")["mse"].tolist() == [0.1866, 0.1562, 0.07456, 0.04635]
    assert drawn.data.query("source == 'ours' and rule == 'fptt'")["mse"].tolist() == CURVE
    assert legend(drawn) == ["bptt", "fptt", "fptt-authors", "bptt, published", "fptt-authors, published"]
    assert drawn.title == "Adding task, T = 200: 128 ltc neurons"
    assert [len(panel.lines) for panel in drawn.figure.axes] == [3, 2, 4]  # ours, published, the dashed one
    assert drawn.figure.axes[0].get_yscale() == "log"
    save(drawn, tmp_path / "out", "fptt")


def test_at_another_length_nothing_is_said_of_the_published(store):
    for rule in RULES:
        put_run(store, rule, steps=20, hidden=8, batch=32)
    drawn = draw(Results(store.folder), "laptop")
    assert drawn.title == "Adding task, T = 20: 8 ltc neurons"
    assert "batch 32" in drawn.caption[0] and "32 sequences" in drawn.figure.get_supxlabel()
    assert set(drawn.data["source"]) == {"ours"} and legend(drawn) == ["bptt", "fptt", "fptt-authors"]
    assert not any("authors' own" in line or "200" in line for line in drawn.caption)


def test_only_rules_that_were_run_have_published_curves(store):
    put_run(store, "fptt")
    put_run(store, "bptt")
    assert legend(draw(Results(store.folder), "laptop")) == ["bptt", "fptt", "bptt, published"]


def test_a_run_that_failed_ends_in_a_cross_and_says_why(store, tmp_path):
    put_run(store, "bptt")
    for rule, curve in (("fptt", [0.2, 0.3, math.inf]), ("fptt-authors", [])):
        put_run(store, rule, status="diverged", curve=curve, measures={}, failure=Failure(reason="loss is nan"))
    drawn = draw(Results(store.folder), "laptop")
    assert crosses(drawn) == [("fptt", 20, 0.3)]
    assert "fptt ltc adding #0: diverged, loss is nan." in drawn.caption
    assert "ending in a cross" in drawn.caption[0]
    save(drawn, tmp_path / "out", "fptt")


def test_older_runs_and_other_suites_are_left_alone(store):
    put_run(store, "bptt", id="old", curve=[0.5] * 9)
    put_run(store, "bptt", id="new", started="2026-02-02T00:00:00+00:00")
    put(store, run_spec("bptt lif digits"), measures={"accuracy": measure(0.5, "fraction")}, curve=[0.5])
    ours = draw(Results(store.folder), "laptop").data.query("source == 'ours'")
    assert ours["mse"].tolist() == CURVE


def test_nothing_to_draw(store):
    assert draw(Results(store.folder), "laptop") is None
    put_run(store, "bptt", curve=[])
    assert draw(Results(store.folder), "laptop") is None
    assert draw(Results(store.folder), "paper") is None
