"""Each of the nine verdicts, on records made by hand, and the exit code."""

from __future__ import annotations

import pytest

from tests.comparing.test_cells import changed, record
from tests.synthetic_records import measure, run_spec
from throughtime.comparing.compare import compare_sides
from throughtime.comparing.gates import Gates
from throughtime.comparing.sides import Side
from throughtime.records.record import Measure

EXACT = "{metric: peak_live_bytes, compare: exact, better: lower, fail: true, why: counted}"
LOSS = "{metric: loss, compare: tolerance, better: neither, fail: 1 %, why: same seeds}"
ACCURACY = "{metric: accuracy, compare: test, better: higher, warn: 0.01, fail: 0.03, why: three points}"
TIME = "{metric: wall_time, compare: ratio_to_bptt, better: lower, warn: 10 %, fail: 50 %, why: in relation}"


@pytest.fixture
def judged(tmp_path):
    """Compares two lists of records under gates written in YAML."""

    def compared(base, new, *gates):
        path = tmp_path / "gates.yaml"
        path.write_text(f"gates: [{', '.join(gates)}]")
        return compare_sides(Side("base", base, []), Side("new", new, []), Gates.load(path))

    return compared


def runs(metric, *values, cell="fptt lif digits", unit="1", **fields):
    """A record a value: the replicates of one cell."""
    return [
        record(run_spec(cell, replicate), measures={metric: measure(value, unit)}, **fields)
        for replicate, value in enumerate(values)
    ]


def verdicts(comparison, metric):
    return [(row.verdict, row.severity) for row in comparison.rows if row.metric == metric]


@pytest.mark.parametrize(
    "gate, metric, base, new, verdict, severity, code",
    [
        (EXACT, "peak_live_bytes", [100], [100], "same", "", 0),
        (EXACT, "peak_live_bytes", [100], [101], "worse", "fail", 1),
        (EXACT, "peak_live_bytes", [100], [99], "better", "", 0),
        (LOSS, "loss", [1.0, 2.0], [1.009, 2.0], "same", "", 0),
        (LOSS, "loss", [1.0, 2.0], [1.0, 2.03], "worse", "fail", 1),
        (LOSS, "loss", [1.0, 2.0], [0.98, 2.0], "worse", "fail", 1),
        (LOSS.replace("neither", "lower"), "loss", [1.0, 2.0], [0.98, 2.0], "better", "", 0),
        (LOSS.replace("neither", "lower"), "loss", [1.0, 2.0], [0.9, 2.04], "worse", "fail", 1),
        (LOSS.replace("fail", "warn"), "loss", [1.0], [2.0], "worse", "warn", 0),
        # The replicate that moved furthest only warns, the other one fails.
        (LOSS.replace("fail: 1 %", "warn: 5 %, fail: 20 %"), "loss", [2.3, 0.05], [2.5, 0.12], "worse", "fail", 1),
        # An amount and a share: which of them is smaller depends on the base.
        (LOSS.replace("fail: 1 %", "warn: 10 %, fail: 0.5"), "loss", [20.0], [21.0], "worse", "fail", 1),
        (ACCURACY, "accuracy", [0.9, 0.91, 0.92, 0.9, 0.91], [0.86, 0.87, 0.88, 0.85, 0.86], "worse", "fail", 1),
        (ACCURACY, "accuracy", [0.9, 0.91, 0.92, 0.9, 0.91], [0.88, 0.89, 0.89, 0.88, 0.89], "worse", "warn", 0),
        # 1.5 points: more than the smallest change that counts, less than twice as many.
        (
            ACCURACY,
            "accuracy",
            [0.9, 0.901, 0.902, 0.903, 0.904],
            [0.885, 0.886, 0.887, 0.888, 0.889],
            "worse",
            "warn",
            0,
        ),
        (ACCURACY, "accuracy", [0.86, 0.87, 0.88, 0.85, 0.86], [0.9, 0.91, 0.92, 0.9, 0.91], "better", "", 0),
        (ACCURACY, "accuracy", [0.9] * 5, [0.895] * 5, "same", "", 0),
        (ACCURACY, "accuracy", [0.9, 0.8, 0.85, 0.9, 0.8], [0.86, 0.81, 0.85, 0.88, 0.82], "same", "", 0),
        (ACCURACY, "accuracy", [0.9, 0.8, 0.85, 0.9, 0.8], [0.7, 0.85, 0.8, 0.86, 0.79], "unclear", "", 0),
        (ACCURACY, "accuracy", [0.9, 0.91, 0.9], [0.5, 0.52, 0.51], "unclear", "", 0),
        (ACCURACY, "accuracy", [0.9, 0.91, 0.9], [0.9, 0.91, 0.9], "same", "", 0),
    ],
)
def test_values_under_a_gate(judged, gate, metric, base, new, verdict, severity, code):
    result = judged(runs(metric, *base), runs(metric, *new), gate)
    assert verdicts(result, metric) == [(verdict, severity)] and result.exit_code == code


def test_too_few_replicates_name_how_many_would_decide(judged):
    result = judged(runs("accuracy", 0.9, 0.91, 0.9), runs("accuracy", 0.5, 0.52, 0.51), ACCURACY)
    (row,) = [row for row in result.rows if row.metric == "accuracy"]
    assert row.reason == "n = 3 and 3 cannot reach p = 0.01; 5 replicates a side can" and row.p == pytest.approx(0.1)
    cells = [f"{rule} lif digits" for rule in ("bptt", "fptt", "eprop")]
    base = [run for cell in cells for run in runs("accuracy", 0.9, 0.91, 0.92, 0.93, 0.94, cell=cell)]
    new = [run for cell in cells for run in runs("accuracy", 0.5, 0.51, 0.52, 0.53, 0.54, cell=cell)]
    rows = [row for row in judged(base, new, ACCURACY).rows if row.metric == "accuracy"]
    assert {row.reason for row in rows} == {"n = 5 and 5 cannot reach p = 0.0033; 6 replicates a side can"}


def test_cells_that_are_identical_are_no_part_of_the_family(judged):
    cells = [f"{rule} lif digits" for rule in ("bptt", "fptt", "eprop")]
    base = [run for cell in cells for run in runs("accuracy", 0.9, 0.91, 0.92, 0.93, 0.94, cell=cell)]
    new = base[:10] + runs("accuracy", 0.5, 0.51, 0.52, 0.53, 0.54, cell=cells[2])
    assert sorted(verdicts(judged(base, new, ACCURACY), "accuracy")) == [("same", ""), ("same", ""), ("worse", "fail")]


def test_the_row_has_both_numbers_and_an_interval(judged):
    (row,) = [r for r in judged(runs("loss", 1.0, 2.0, 3.0), runs("loss", 2.0, 4.0), LOSS).rows if r.metric == "loss"]
    assert (row.base, row.new, row.difference, row.n_base, row.n_new) == (1.5, 3.0, 1.5, 2, 2), "common replicates"
    assert row.low < 1.5 < row.high and row.why == "same seeds" and row.gate == "loss"
    assert row.reason == "replicate 1: 2 → 4, not within 1 %"


def test_runs_that_fail_or_are_not_there(judged):
    ok = runs("loss", 1.0, 1.0)
    failed = [ok[0], record(ok[1].spec, "error", "ValueError: no", measures={})]
    skipped = [ok[0], record(ok[1].spec, "skipped", "unsupported", measures={})]
    other = runs("loss", 1.0, cell="eprop lif digits")
    expected = {
        "newly failing": (ok, failed, 1),
        "fixed": (failed, ok, 0),
        "lost": (ok, ok[:1], 1),
        "same": (failed, failed, 0),
    }
    for verdict, (base, new, code) in expected.items():
        result = judged(base, new, LOSS)
        assert verdicts(result, "status") == [(verdict, "fail" if code else "")] and result.exit_code == code
    assert verdicts(judged(ok, skipped, LOSS), "status") == [("lost", "fail")]
    assert verdicts(judged(skipped, ok, LOSS), "status") == [("new", "")]
    assert verdicts(judged([*ok, *other], ok, LOSS), "status") == [("lost", "fail"), ("same", "")]
    assert verdicts(judged(ok, [*ok, *other], LOSS), "status") == [("new", ""), ("same", "")]
    assert "ValueError: no" in judged(ok, failed, LOSS).rows[0].reason


def test_a_metric_that_is_gone_is_lost(judged):
    both = {"loss": measure(1.0, "1"), "accuracy": measure(0.5, "fraction")}
    gone = {"loss": measure(1.0, "1"), "accuracy": measure(None, "fraction", "no labels")}
    spec = run_spec("fptt lif digits")
    result = judged([record(spec, measures=both)], [record(spec, measures=gone)], ACCURACY)
    (row,) = [row for row in result.rows if row.metric == "accuracy"]
    assert (row.verdict, row.severity, row.reason) == ("lost", "fail", "new: no labels") and result.exit_code == 1
    assert verdicts(judged([record(spec, measures=gone)], [record(spec, measures=both)], ACCURACY), "accuracy") == [
        ("new", "")
    ]
    ungated = judged([record(spec, measures=both)], [record(spec, measures=gone)], LOSS)
    assert verdicts(ungated, "accuracy") == [("lost", "")] and ungated.exit_code == 0
    failed = record(spec, "error", "ValueError", measures={})
    assert verdicts(judged([record(spec, measures=both)], [failed], ACCURACY), "accuracy") == [], "the status says it"


def test_other_seeds_leave_only_tests_and_costs(judged):
    def seeded(seed):
        measures = {"loss": measure(1.0 + seed, "1"), "peak_live_bytes": measure(8, "byte")}
        return [record(run_spec("fptt lif digits").model_copy(update={"seed": seed}), measures=measures)]

    result = judged(seeded(1), seeded(2), LOSS, EXACT)
    assert verdicts(result, "loss") == [("not comparable", "")] and result.exit_code == 2
    assert verdicts(result, "peak_live_bytes") == [("same", "")]
    assert [row.reason for row in result.rows if row.metric == "loss"] == ["seed: 1 → 2"]


def test_other_options_are_not_comparable(judged):
    spec = run_spec("fptt lif digits")
    result = judged([record(spec)], [record(changed(spec, "dataset", steps=7))], LOSS)
    assert result.exit_code == 2 and result.rows[0].reason == "dataset.steps: 28 → 7"


def test_times_need_one_machine(judged):
    gate = "{metric: wall_time, compare: tolerance, better: lower, fail: 50 %, why: x}"
    computer = {"processor": "A", "cores": 2, "memory_bytes": 1, "system": "L", "threads": 1}
    for new, verdict in ((computer, "worse"), ({**computer, "processor": "B"}, "not comparable")):
        sides = [runs("wall_time", seconds, machine=machine) for seconds, machine in ((1.0, computer), (2.0, new))]
        assert verdicts(judged(*sides, gate), "wall_time")[0][0] == verdict
        sides = [runs("loss", 1.0, machine=machine) for machine in (computer, new)]
        assert verdicts(judged(*sides, LOSS), "loss") == [("same", "")], "results compare anywhere"
    strict = LOSS.replace("fail", "same: [torch], fail")
    sides = [runs("loss", 1.0, versions={"torch": version}) for version in ("2.4", "2.5")]
    assert verdicts(judged(*sides, strict), "loss") == [("not comparable", "")]


def timed(rule, *samples, contended=False):
    value = sorted(samples)[len(samples) // 2]
    wall_time = Measure(value=value, unit="second a sequence", method="", samples=list(samples))
    return record(run_spec(f"{rule} lif digits"), measures={"wall_time": wall_time}, contended=contended)


@pytest.mark.parametrize(
    "new, verdict, severity",
    [
        ((2.0, 2.02, 1.98), "same", ""),
        ((2.6, 2.62, 2.58), "worse", "warn"),
        ((4.0, 4.02, 3.98), "worse", "fail"),
        ((1.0, 1.02, 0.98), "better", ""),
        ((1.5, 2.6, 4.0), "unclear", ""),
    ],
)
def test_ratios_to_bptt(judged, new, verdict, severity):
    # The machine of the new side is twice as slow: BPTT 1 → 2, FPTT 1 → 2 is the same ratio.
    base = [timed("bptt", 1.0, 1.01, 0.99), timed("fptt", 1.0, 1.01, 0.99)]
    result = judged(base, [timed("bptt", 2.0, 2.02, 1.98), timed("fptt", *new)], TIME)
    assert [(r.verdict, r.severity) for r in result.rows if r.metric == "wall_time" and r.gate] == [(verdict, severity)]
    busy = [timed("bptt", 2.0, 2.02, 1.98), timed("fptt", *new, contended=True)]
    expected = "same" if verdict == "same" else "unclear"
    assert [r.verdict for r in judged(base, busy, TIME).rows if r.metric == "wall_time" and r.gate] == [expected]


def test_the_spread_of_bptts_repeats_is_part_of_the_interval(judged):
    """FPTT's repeats agree and BPTT's do not: its time, and so the ratio, is hardly known."""
    base = [timed("bptt", 1.0, 1.01, 0.99), timed("fptt", 1.0, 1.01, 0.99)]
    result = judged(base, [timed("bptt", 1.5, 2.0, 2.6), timed("fptt", 2.5, 2.52, 2.48)], TIME)
    (row,) = [r for r in result.rows if r.metric == "wall_time" and r.gate]
    assert row.verdict == "unclear" and row.difference == pytest.approx(0.25) and row.low < 0 < row.high


def test_the_change_of_a_ratio_is_relative(judged):
    """FPTT takes 4 and then 4.8 times as long as BPTT: 20 % more."""
    base = [timed("bptt", 1.0, 1.01, 0.99), timed("fptt", 4.0, 4.04, 3.96)]
    result = judged(base, [timed("bptt", 1.0, 1.01, 0.99), timed("fptt", 4.8, 4.84, 4.76)], TIME)
    (row,) = [r for r in result.rows if r.metric == "wall_time" and r.gate]
    assert (row.verdict, row.severity, row.difference) == ("worse", "warn", pytest.approx(0.2))


def test_a_ratio_needs_bptt(judged):
    base, new = [timed("fptt", 1.0, 1.0)], [timed("fptt", 1.0, 1.0)]
    result = judged(base, new, TIME)
    assert verdicts(result, "wall_time") == [("not comparable", "")] and result.exit_code == 2
    # Nobody wrote throughtime's own gates for this sweep, so that they ask for no run of BPTT.
    result = compare_sides(Side("base", base, []), Side("new", new, []), Gates.load())
    assert verdicts(result, "wall_time") == [("same", "")] and result.exit_code == 0


def peaks(*values, **fields):
    """BPTT and FPTT, with the peak of a process."""
    cells = zip(("bptt lif digits", "fptt lif digits"), values, strict=True)
    return [record(run_spec(c), measures={"peak_process_bytes": measure(v, "byte")}, **fields) for c, v in cells]


def test_a_cost_of_nothing_has_no_ratio(judged):
    rows = judged(peaks(100.0, 0.0), peaks(100.0, 1.0), TIME.replace("wall_time", "peak_process_bytes")).rows
    (row,) = [row for row in rows if row.metric == "peak_process_bytes" and row.gate]
    assert (row.verdict, row.reason) == ("not comparable", "the base's peak_process_bytes is 0")


def test_a_busy_machine_does_not_excuse_a_peak_of_memory(judged):
    gate = TIME.replace("wall_time", "peak_process_bytes")
    result = judged(peaks(100.0, 100.0), peaks(100.0, 300.0, contended=True), gate)
    assert ("worse", "fail") in verdicts(result, "peak_process_bytes")


def test_without_a_gate_a_metric_is_listed_and_judges_nothing(judged):
    result = judged(runs("accuracy", 0.5), runs("accuracy", 0.1), LOSS)
    assert result.ungated == ["accuracy"] and result.exit_code == 0
    assert verdicts(result, "accuracy") == [("unclear", "")] and result.counts == {"same": 1}


def test_nothing_in_common_is_not_comparable(judged):
    assert judged([], [], LOSS).exit_code == 2
    assert judged([], runs("loss", 1.0), LOSS).exit_code == 2


OVER_CELLS = "{metric: accuracy, compare: cells, better: neither, fail: 0.002, why: all at once}"
OWN = "{metric: accuracy, compare: tolerance, better: neither, fail: 0.01, why: each by itself}"


def cells(*changes, level=0.5):
    """One run of as many cells as there are changes, each with its change of the accuracy."""
    return [
        run for i, change in enumerate(changes) for run in runs("accuracy", level + change, cell=f"r{i} lif digits")
    ]


@pytest.mark.parametrize(
    "changes, verdict, severity, code",
    [
        ([-0.009] * 94, "worse", "fail", 1),
        ([0.009] * 94, "worse", "fail", 1),
        ([0.0] * 94, "same", "", 0),
        ([0.009, -0.009] * 47, "same", "", 0),
        ([-0.0015] * 94, "same", "", 0),  # significant, and smaller than the gate
        ([-0.009] * 7, "unclear", "", 0),  # seven cells give p = 0.016
        ([-0.009] * 8 + [0.0] * 2, "unclear", "", 0),  # p = 0.0078, one of two tests
        ([-0.009] * 9 + [0.0] * 2, "worse", "fail", 1),
        ([-0.009] * 60 + [0.009] * 34, "unclear", "", 0),  # p = 0.0096 among two tests
    ],
)
def test_all_cells_at_once(judged, changes, verdict, severity, code):
    """A shift of 0.9 points passes the gate of each cell; in one direction in all cells it is a shift of the code."""
    other = runs("loss", 1.0, 1.1, 1.2, 1.3, 1.4), runs("loss", 1.0, 1.2, 1.1, 1.4, 1.3)
    test = LOSS.replace("tolerance", "test").replace("neither", "lower")
    base, new = cells(*[0.0] * len(changes)), cells(*changes)
    result = judged([*base, *other[0]], [*new, *other[1]], OVER_CELLS, OWN, test)
    own = [
        (row.verdict, row.severity) for row in result.rows if row.metric == "accuracy" and row.compare == "tolerance"
    ]
    assert own == [("same", "")] * len(changes)
    (row,) = [row for row in result.rows if row.compare == "cells"]
    assert (row.verdict, row.severity, result.exit_code) == (verdict, severity, code)
    assert row.label == f"all {len(changes)} cells" and row.n_new == len(changes)
    assert row.difference == pytest.approx(sum(changes) / len(changes))


def test_cells_of_other_seeds_are_no_part_of_the_test_over_cells(judged):
    base, new = cells(*[0.0] * 10), cells(*[-0.009] * 10)
    new = [run.model_copy(update={"spec": run.spec.model_copy(update={"seed": 8})}) for run in new]
    assert not [row for row in judged(base, new, OWN, OVER_CELLS).rows if row.compare == "cells"]


IN_TURNS = "{metric: time_over_bptt, compare: tolerance, better: lower, warn: 50 %, fail: 100 %, why: in turns}"
QUIET, OTHER = {"processor": "A", "cores": 2}, {"processor": "B", "cores": 8}


@pytest.mark.parametrize(
    "new, busy, verdict, severity, code",
    [
        (1.4, False, "same", "", 0),
        (1.6, False, "worse", "warn", 0),
        (2.1, False, "worse", "fail", 1),
        (9.9, True, "not comparable", "warn", 0),
    ],
)
def test_times_in_turns_with_bptt_need_a_quiet_machine_and_no_other(judged, new, busy, verdict, severity, code):
    base = runs("time_over_bptt", 1.0, machine=QUIET, contended=False)
    result = judged(base, runs("time_over_bptt", new, machine=OTHER, contended=busy), IN_TURNS)
    assert verdicts(result, "time_over_bptt") == [(verdict, severity)] and result.exit_code == code
