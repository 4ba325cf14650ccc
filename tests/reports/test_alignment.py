"""Figures and table of gradient alignment: the numbers in them are those of the curves and records."""

from __future__ import annotations

import json
import math

import pytest

from tests.synthetic_records import measure, put, results, run_spec
from throughtime.records.record import Failure, Measure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.alignment_figure import alignment_by_group, alignment_over_training
from throughtime.reports.alignment_table import alignment_table
from throughtime.reports.drawing import save
from throughtime.reports.formats import csv, markdown, text
from throughtime.reports.latex import latex
from throughtime.reports.page.interactive import described

WHY = "BPTT's gradient is zero"
EPOCHS = (0, 1, 4)
Numbers = dict[str, tuple[float | None, float | None]]
"""Group -> cosine and norm ratio."""


def keys(numbers: Numbers) -> dict[str, float | None]:
    return {
        f"alignment_{name}.{group}": pair[k]
        for k, name in enumerate(("cosine", "norm_ratio"))
        for group, pair in numbers.items()
    }


def put_aligned(
    store: Store, cell: str, replicate: int, epochs: dict[int, Numbers], status: str = "ok", **changes
) -> None:
    """A run whose curve has an alignment at some epochs, and the record that of the last."""
    measures: dict[str, Measure] = {}
    if status == "ok":
        last = keys(epochs[max(epochs)])
        measures = {
            name: measure(value, "1", WHY if value is None else None) for name, value in last.items()
        } | results("accuracy", 0.9, 0.1)
    failure = None if status == "ok" else Failure(reason="loss is nan at epoch 2, update 7")
    folder = put(store, run_spec(cell, replicate, **changes), status, measures=measures, failure=failure)
    rows = []
    for epoch in range(max(epochs) + 1):
        row = {"epoch": epoch, "validation": 0.5, "train_loss": 1.0 if epoch else None}
        if epoch or epoch in epochs:
            rows.append({**row, **(keys(epochs[epoch]) if epoch in epochs else {})})
    (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def numbers(cosine: float, ratio: float, neuron: str = "lif") -> Numbers:
    """Hidden groups near these, and an exact readout."""
    result: Numbers = {"all": ((1 + cosine) / 2, (1 + ratio) / 2), "hidden": (cosine, ratio)}
    result |= {"layer1.inward": (cosine**2, 0.8 * ratio), "layer1.recurrent": (max(-1.0, cosine - 0.1), 1.2 * ratio)}
    if neuron == "ltc":
        result["layer1.neuron"] = (cosine**3, 0.5 * ratio)
    return {**result, "readout": (1.0, 1.0)}


def grid_store(folder) -> Store:
    """Four rules x {lif, ltc} on digits, three replicates; tbptt ltc: one diverged; eprop ltc: skipped; fptt ltc: the
    hidden groups have no gradient at the last epoch, of one replicate not even at the first.
    """
    store = Store(folder)
    for rule, cosine, ratio in (("bptt", 1.0, 1.0), ("tbptt", 0.9, 0.7), ("fptt", 0.8, 0.5), ("eprop", 0.4, 1.5)):
        for neuron in ("lif", "ltc"):
            for replicate in range(3):
                cell = f"{rule} {neuron} digits"
                if cell == "eprop ltc digits":
                    put(store, run_spec(cell, replicate), "skipped", log=None, failure=Failure(reason="no traces"))
                    continue
                off = 0.0 if rule == "bptt" else 0.01 * (replicate - 1)
                by_epoch = {
                    e: numbers(cosine ** (1 + 0.2 * e) + off, ratio ** (1 + 0.1 * e) + off, neuron) for e in EPOCHS
                }
                if cell == "fptt ltc digits":
                    for e in EPOCHS[0 if replicate == 2 else 2 :]:
                        by_epoch[e]["hidden"] = (None, None)
                if cell == "tbptt ltc digits" and replicate == 2:
                    by_epoch = {0: by_epoch[0], 1: numbers(0.2, 30.0, neuron)}
                    put_aligned(store, cell, replicate, by_epoch, "diverged")
                    continue
                put_aligned(store, cell, replicate, by_epoch)
    put(store, run_spec("bptt lif adding", suite="other"), measures=results("mse", 0.1, 0.2))
    return store


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    return Results.load(grid_store(tmp_path_factory.mktemp("aligned")).folder)


def test_over_training_it_is_the_hidden_parameters_and_every_run(aligned):
    data = alignment_over_training(aligned, "quick", "laptop").data
    assert set(data["group"]) == {"hidden"}
    cell = data.query("rule == 'tbptt' and neuron == 'lif' and epoch == 1").sort_values("replicate")
    assert list(cell["alignment_cosine"]) == pytest.approx([0.9**1.2 - 0.01, 0.9**1.2, 0.9**1.2 + 0.01])
    assert list(cell["alignment_norm_ratio.mean"]) == pytest.approx([0.7**1.1] * 3)
    assert list(cell["alignment_cosine.high"] - cell["alignment_cosine.low"]) == pytest.approx([0.02] * 3)
    assert set(cell["n"]) == {3}
    assert len(data) == (4 * 3 + 2 * 3) * 3 + 2 * 3 + 2  # runs x epochs; two of three, and one that failed at two
    assert sorted(set(data["epoch"])) == list(EPOCHS)


def test_a_failed_replicate_is_drawn_and_in_no_mean(aligned):
    drawn = alignment_over_training(aligned, "quick", "laptop")
    cell = drawn.data.query("rule == 'tbptt' and neuron == 'ltc'")
    assert set(cell.loc[cell["status"] == "ok", "n"]) == {2}
    failed = cell[cell["status"] == "diverged"]
    assert list(failed["epoch"]) == [0, 1] and list(failed["alignment_norm_ratio"])[1] == 30
    assert failed["n"].isna().all() and failed["alignment_cosine.mean"].isna().all()
    assert any("ending in a cross" in line for line in drawn.caption)
    panel = next(axes for axes in drawn.figure.axes if axes.get_title(loc="left") == "digits · ltc")
    assert [line.get_marker() for line in panel.lines].count("x") == 1
    assert any("Not in the figure: eprop ltc digits (skipped)" in line for line in drawn.caption)


def test_what_has_no_gradient_is_a_gap(aligned):
    data = alignment_over_training(aligned, "quick", "laptop").data
    fptt = data.query("rule == 'fptt' and neuron == 'ltc'").drop_duplicates("epoch").set_index("epoch")
    assert fptt["n"].to_dict() == {0: 2, 1: 2, 4: 0}
    assert fptt.loc[0, "alignment_cosine.mean"] == pytest.approx(0.8 - 0.005)
    assert math.isnan(fptt.loc[4, "alignment_cosine.mean"])


def test_all_panels_of_a_measure_have_one_scale_with_one_on_it(aligned):
    drawn = alignment_over_training(aligned, "quick", "laptop")
    above, below = drawn.figure.axes[:2], drawn.figure.axes[2:]
    for panels, scale in ((above, "linear"), (below, "log")):
        (limits,) = {panel.get_ylim() for panel in panels}
        assert {panel.get_yscale() for panel in panels} == {scale}
        assert limits[0] < 1 < limits[1]
    assert above[0].get_ylim()[0] < 0, "a cosine's axis begins at 0, whatever the values"
    assert below[0].get_ylim()[0] < 0.5**1.4 and below[0].get_ylim()[1] > 30


def test_cosines_below_zero_are_on_the_panel(store):
    put_aligned(store, "eprop lif digits", 0, {1: numbers(-0.7, 0.01), 2: numbers(0.1, 90.0)})
    drawn = alignment_over_training(Results(store.folder), "quick", "laptop")
    cosine, ratio = drawn.figure.axes
    assert cosine.get_ylim()[0] < -0.7
    assert ratio.get_ylim()[0] < 0.01 and ratio.get_ylim()[1] > 90
    assert any("No band" in line for line in drawn.caption) and "n = 1 a line" in drawn.caption[0]
    assert alignment_by_group(Results(store.folder), "quick", "laptop").figure.axes[0].get_xlim()[0] < -0.8


def test_one_is_on_the_panel_wherever_the_values_lie(store):
    put_aligned(store, "eprop lif digits", 0, {0: numbers(0.1, 20.0), 2: numbers(0.2, 90.0)})
    for draw in (alignment_over_training, alignment_by_group):
        _, ratio = draw(Results(store.folder), "quick", "laptop").figure.axes
        low, high = ratio.get_ylim() if draw is alignment_over_training else ratio.get_xlim()
        assert 0 < low < 1 and high > 90


def test_a_network_without_a_readout_shows_all(store):
    put_aligned(store, "bptt lif digits", 0, {1: {"all": (0.5, 2.0), "conv": (0.5, 2.0)}})
    drawn = alignment_over_training(Results(store.folder), "quick", "laptop")
    assert list(drawn.data["group"]) == ["all"]
    assert any("Parameters: all." in line for line in drawn.caption)


def test_groups_at_the_first_and_the_last_epoch(aligned):
    drawn = alignment_by_group(aligned, "quick", "laptop")
    data = drawn.data.set_index(["rule", "neuron", "group", "place"])
    assert data.loc[("eprop", "lif", "layer1.recurrent", "first"), "alignment_cosine.mean"] == pytest.approx(0.3)
    assert data.loc[("eprop", "lif", "hidden", "last"), "epoch"] == 4
    assert data.loc[("eprop", "lif", "hidden", "last"), "alignment_norm_ratio.mean"] == pytest.approx(1.5**1.4)
    assert set(drawn.data["epoch"]) == {0, 4}
    labels = [label.get_text() for label in drawn.figure.axes[2].get_yticklabels()]
    assert labels == ["hidden", "layer1.inward", "layer1.recurrent", "layer1.neuron", "readout"]
    assert any("Filled: epoch 4" in line and "Hollow: before training" in line for line in drawn.caption)


def test_table_by_hand(aligned):
    table = alignment_table(aligned, "quick", "laptop")
    assert table.name == "quick-laptop-alignment"
    assert table.head == [
        *["dataset", "neuron", "rule", "parameters"],
        *["cosine, before training", "cosine, epoch 4", "norm ratio, before training", "norm ratio, epoch 4"],
    ]
    rows = {tuple(e.text for e in row[1:4]): row[4:] for row in table.rows}
    # The replicates differ by 0.01; at epoch 4 0.8^1.8 = 0.669, 0.5^1.4 = 0.379
    assert [e.text for e in rows["lif", "fptt", "hidden"]] == [
        "0.800 (0.790, 0.800, 0.810)",
        "0.669 (0.659, 0.669, 0.679)",
        "0.500 (0.490, 0.500, 0.510)",
        "0.379 (0.369, 0.379, 0.389)",
    ]
    assert [e.text for e in rows["lif", "bptt", "readout"]] == ["1.00 (n=3)"] * 4
    assert rows["ltc", "tbptt", "hidden"][0].text.endswith("), 1/3 diverged")
    assert ("lif", "bptt", "layer1.neuron") not in rows and ("ltc", "bptt", "layer1.neuron") in rows
    assert any("Not in the table: eprop ltc digits (skipped)" in line for line in table.caption)


def test_a_dash_has_its_reason(aligned):
    table = alignment_table(aligned, "quick", "laptop")
    (row,) = (row for row in table.rows if [e.text for e in row[1:4]] == ["ltc", "fptt", "hidden"])
    first, last, *_ = row[4:]
    assert first.text == "0.795 (0.790, 0.800)" and last.text == "—"
    notes = dict(table.notes)
    assert notes[last.mark] == f"no value: {WHY}"
    assert notes[first.mark] == "no value: one of the two gradients is zero or not finite, or they cannot be compared"
    (told,) = (
        table.long.query("rule == 'fptt' and neuron == 'ltc' and group == 'hidden' and place == 'last'")[
            ["n", "mean", "measure"]
        ]
        .loc[lambda rows: rows["measure"].str.startswith("alignment_cosine")]
        .itertuples(index=False)
    )
    assert told.n == 0 and math.isnan(told.mean)


def test_one_epoch_has_one_column(store):
    put_aligned(store, "bptt lif digits", 0, {2: numbers(1.0, 0.999996)})
    table = alignment_table(Results(store.folder), "quick", "laptop")
    assert table.head[4:] == ["cosine, epoch 2", "norm ratio, epoch 2"]
    assert [e.text for e in table.rows[1][4:]] == ["1.00 (n=1)", "1.00 (n=1)"]
    drawn = alignment_by_group(Results(store.folder), "quick", "laptop")
    assert set(drawn.data["place"]) == {"last"} and not any("Hollow" in line for line in drawn.caption)


def test_what_rounding_leaves_is_no_spread(store):
    for replicate in range(3):
        put_aligned(store, "bptt lif digits", replicate, {2: numbers(1.0 - 1e-8 * replicate, 0.5 + 1e-4 * replicate)})
    table = alignment_table(Results(store.folder), "quick", "laptop")
    (row,) = (row for row in table.rows if row[3].text == "hidden")
    assert [e.text for e in row[4:]] == ["1.00 (n=3)", "0.500 (n=3)"]
    assert (table.long["values"].map(set).map(len) == 3).any(), "printed values are rounded, those of the CSV are not"


def test_cells_measured_at_other_epochs_say_so(store):
    put_aligned(store, "bptt lif digits", 0, {0: numbers(1.0, 1.0), 3: numbers(1.0, 1.0)})
    put_aligned(store, "fptt lif digits", 0, {1: numbers(0.5, 1.0), 5: numbers(0.5, 1.0)})
    table = alignment_table(Results(store.folder), "quick", "laptop")
    assert table.head[4:6] == ["cosine, first epoch (0–1)", "cosine, last epoch (3–5)"]


def test_nothing_where_nothing_was_measured(aligned, store):
    for draw in (alignment_over_training, alignment_by_group, alignment_table):
        assert draw(Results(store.folder), "quick", "laptop") is None
        assert draw(aligned, "other", "laptop") is None
    put_aligned(store, "tbptt lif digits", 0, {0: numbers(0.9, 1.0), 1: numbers(0.9, 1.0)}, "diverged")
    drawn = alignment_over_training(Results(store.folder), "quick", "laptop")
    assert drawn.data["alignment_cosine.mean"].isna().all() and "n = 0 a line" in drawn.caption[0]
    for draw in (alignment_by_group, alignment_table):
        assert draw(Results(store.folder), "quick", "laptop") is None


def test_older_runs_of_other_settings_do_not_count(store):
    put_aligned(store, "fptt lif digits", 0, {1: numbers(0.1, 1.0)}, batch=16)
    (older,) = store.folder.glob("*/*/record.json")
    older.write_text(older.read_text().replace("2026-01-02", "2020-01-01"))
    put_aligned(store, "fptt lif digits", 0, {1: numbers(0.7, 1.0)})
    both = Results(store.folder)
    assert list(alignment_over_training(both, "quick", "laptop").data["alignment_cosine"]) == [0.7]
    table = alignment_table(both, "quick", "laptop")
    assert any("older run" in note for _, note in table.notes)


def test_saved_in_every_form(aligned, tmp_path):
    for draw in (alignment_over_training, alignment_by_group):
        drawn = draw(aligned, "quick", "laptop")
        paths = save(drawn, tmp_path, draw.__name__)
        assert [path.suffix for path in paths] == [".pdf", ".svg", ".png", ".csv"]
        again = draw(aligned, "quick", "laptop")
        assert [p.read_bytes() for p in paths] == [
            p.read_bytes() for p in save(again, tmp_path / "again", draw.__name__)
        ]
    table = alignment_table(aligned, "quick", "laptop")
    for form in (text, markdown, latex, csv):
        assert "layer1.recurrent" in form(table)


def test_many_neurons_go_on_below(store):
    neurons = ["lif", "alif", "ltc", "asrnn", "lstm"]
    for rule in ("bptt", "fptt"):
        for neuron in neurons:
            put_aligned(store, f"{rule} {neuron} digits", 0, {e: numbers(0.9, 0.5) for e in EPOCHS})
    put_aligned(store, "fptt lif adding", 0, {e: numbers(0.9, 0.5) for e in EPOCHS})
    drawn = alignment_over_training(Results(store.folder), "quick", "laptop")
    assert len(drawn.figure.axes) == 12
    titles = [axes.get_title(loc="left") for axes in drawn.figure.axes if axes.get_title(loc="left")]
    assert sorted(titles) == sorted([*(f"digits · {neuron}" for neuron in neurons), "adding · lif"])


def test_the_page_has_each_panel_in_its_place_with_groups_and_hollow_points(store):
    for neuron in ("lif", "alif", "ltc", "lstm", "rnn"):
        for rule, cosine in (("bptt", 1.0), ("eprop", 0.4)):
            put_aligned(store, f"{rule} {neuron} digits", 0, {e: numbers(cosine, cosine) for e in EPOCHS})
    result = Results(store.folder)
    panels = described(alignment_over_training(result, "quick", "laptop").figure)["panels"]
    assert [(panel["row"], panel["column"]) for panel in panels[-2:]] == [(2, 0), (3, 0)], "the fifth neuron"
    panels = described(alignment_by_group(result, "quick", "laptop").figure)["panels"]
    names = ["hidden", "layer1.inward", "layer1.recurrent", "readout"]
    assert {tuple(panel["y"]["ticks"][1]) for panel in panels} == {tuple(names)}
    points = [trace for trace in panels[0]["traces"] if "symbol" in trace and trace["name"] == "eprop"]
    assert {trace["symbol"] for trace in points} == {"circle", "circle-open"}
