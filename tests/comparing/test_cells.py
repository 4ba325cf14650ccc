"""Cells are matched by their components and options."""

from __future__ import annotations

from tests.synthetic_records import measure, run_spec
from throughtime.comparing.cells import bptt_of, cells_of, matched
from throughtime.records.record import Failure, Record
from throughtime.spec import RunSpec


def record(spec: RunSpec, status="ok", reason="", **fields) -> Record:
    fields.setdefault("measures", {"loss": measure(0.5, "1")})
    failure = Failure(reason=reason) if reason else None
    return Record(id=spec.id({}), label=spec.label, spec=spec, status=status, failure=failure, **fields)


def changed(spec: RunSpec, kind: str, label: str | None = None, **options) -> RunSpec:
    """A spec with other options, or another label, of one component."""
    component = getattr(spec, kind)
    update = {"options": {**component.options, **options}, "label": label or component.label}
    return spec.model_copy(update={kind: component.model_copy(update=update)})


def pair(base: RunSpec, other: RunSpec):
    (result,), lost, new = matched(cells_of([record(base)]), cells_of([record(other)]))
    assert not lost and not new
    return result


def test_ids_suites_and_labels_do_not_matter():
    spec = run_spec("fptt lif digits")
    other = changed(spec, "rule", "fptt K=5").model_copy(update={"suite": "nightly"})
    assert pair(spec, other).conflicts() == []
    assert [str(c) for c in pair(spec, other.model_copy(update={"seed": 8})).conflicts()] == ["seed: 7 → 8"]


def test_the_same_suite_comes_first():
    quick, other = run_spec("fptt lif digits"), run_spec("fptt lif digits", suite="other")
    pairs, _, _ = matched(cells_of([record(quick), record(other)]), cells_of([record(other), record(quick)]))
    assert [(p.base.spec.suite, p.new.spec.suite) for p in pairs] == [("quick", "quick"), ("other", "other")]


def test_changed_settings_are_conflicts():
    spec = run_spec("fptt lif digits")
    assert [str(c) for c in pair(spec, changed(spec, "dataset", steps=56)).conflicts()] == ["dataset.steps: 28 → 56"]
    training = spec.training.model_copy(update={"epochs": 3})
    assert [str(c) for c in pair(spec, spec.model_copy(update={"training": training})).conflicts()] == [
        "training.epochs: 4 → 3"
    ]
    assert [str(c) for c in pair(spec, spec.model_copy(update={"seed": 8})).conflicts()] == ["seed: 7 → 8"]
    threads = spec.model_copy(update={"threads": 2})
    assert pair(spec, threads).conflicts() == [], "results do not depend on threads"


def test_an_option_that_one_side_lacks_is_no_conflict():
    spec = run_spec("fptt lif digits")
    assert pair(spec, changed(spec, "rule", alpha=0.5)).conflicts() == []


def test_other_data_are_a_conflict():
    spec = run_spec("fptt lif digits")
    sides = [cells_of([record(spec, dataset_sha256=digest)]) for digest in ("a" * 64, "b" * 64)]
    (result,), _, _ = matched(*sides)
    assert [c.key for c in result.conflicts()] == ["data"]


def test_cells_of_one_side_alone():
    quick, other = run_spec("fptt lif digits"), run_spec("eprop lif digits")
    paper = run_spec("fptt lif digits", scale="paper")
    base, new = cells_of([record(quick)]), cells_of([record(other), record(paper)])
    assert matched(base, new) == ([], base, new)


def test_replicates_are_one_cell_and_failed_ones_have_no_values():
    specs = [run_spec("fptt lif digits", replicate) for replicate in range(3)]
    bytes_ = {"peak_live_bytes": measure(8.0, "byte")}
    records = [
        record(specs[0], measures={"loss": measure(0.5, "1"), **bytes_}),
        record(specs[1], "diverged", "loss is nan", measures={"loss": measure(9.0, "1"), **bytes_}),
        record(specs[2], measures={"loss": measure(0.7, "1")}),
    ]
    (cell,) = cells_of(records)
    assert cell.label == "fptt lif digits"
    assert cell.values("loss") == {0: 0.5, 2: 0.7}
    assert cell.values("peak_live_bytes") == {0: 8.0, 1: 8.0}, "a pass of its own does not fail with the training"


def test_changed_versions_are_named():
    spec = run_spec("fptt lif digits")
    base = record(spec, code={"rule": "aaa", "harness": "h", "commit": "1"}, versions={"torch": "2.4"})
    other = record(spec, code={"rule": "bbb", "harness": "h", "commit": "2"}, versions={"torch": "2.5"})
    (result,), _, _ = matched(cells_of([base]), cells_of([other]))
    assert result.changed() == {"rule fptt": ("aaa", "bbb"), "torch": ("2.4", "2.5")}


def test_the_bptt_of_a_cell_has_the_same_surroundings():
    specs = [run_spec("fptt lif digits"), run_spec("bptt ltc digits"), run_spec("bptt lif digits")]
    cells = cells_of(map(record, specs))
    assert bptt_of(cells[0], cells) is cells[2]
    assert bptt_of(cells[0], cells[:2]) is None
