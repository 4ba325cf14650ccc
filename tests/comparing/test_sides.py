"""The two sides of a comparison: folders, baselines, versions in one folder; and refused pairs."""

from __future__ import annotations

import pytest

from tests.synthetic_records import measure, put, run_spec
from throughtime.comparing.baselines import log_renewal, write_baseline
from throughtime.comparing.compare import compare, compare_results
from throughtime.comparing.sides import load_side
from throughtime.errors import UsageError
from throughtime.records.baselines import LOG, read_baseline
from throughtime.records.record import Failure, Measure
from throughtime.records.results import Results


@pytest.fixture
def versions(store):
    """One cell with two replicates, run with two versions of its rule; the newer one is slower to learn."""
    for rule, loss, day in (("aaa111", 1.0, 1), ("bbb222", 2.0, 2)):
        for replicate in range(2):
            spec = run_spec("fptt lif digits", replicate, passes=["train"])
            code = {"rule": rule, "harness": "h", "commit": f"c{day}", "changed": False}
            put(
                store,
                spec,
                id=spec.id({"rule": rule, "harness": "h"}),
                code=code,
                metric="loss",
                versions={"torch": f"2.{day}.0"},
                started=f"2026-01-0{day}T00:00:00+00:00",
                measures={"loss": measure(loss + replicate, "1")},
            )
    return store.folder


def losses(side):
    return [record.measures["loss"].value for record in side.records]


def test_a_folder_has_the_newest_version_and_any_other_by_name(versions):
    assert losses(load_side(versions)) == [2.0, 3.0]
    assert losses(load_side(Results(versions))) == [2.0, 3.0]
    for version in ("rule=aaa", "commit=c1", "torch=2.1", "rule=aaa,torch=2.1.0"):
        assert losses(load_side(f"{versions}@{version}")) == [1.0, 2.0]


def test_the_name_of_a_folder_may_contain_an_at_sign(versions):
    folder = versions.rename(versions.parent / "u@h")
    assert losses(load_side(f"{folder}@rule=aaa")) == [1.0, 2.0]


def test_versions_in_one_folder_are_compared(versions):
    frame = compare(f"{versions}@rule=aaa", f"{versions}@rule=bbb", stale_ok=True)
    (row,) = frame[frame["metric"] == "loss"].itertuples()
    assert (row.base, row.new, row.n_base, row.verdict) == (1.5, 2.5, 2, "unclear")
    assert frame.attrs == {"exit_code": 0}
    assert compare(f"{versions}@rule=aaa", f"{versions}@rule=bbb").attrs == {"exit_code": 2}, "not today's code"


@pytest.mark.parametrize(
    "name, what, hint",
    [
        ("{}@rule=ccc", "no record of rule=ccc in {}", "rule: aaa111, bbb222"),
        ("{}@rul=aaa", "no record of rul=aaa in {}", 'did you mean "rule"?'),
        ("{}@rule", "a version is NAME=VALUE", "for example @rule=3f2a9c or @commit=1440204,torch=2.4.0"),
        ("{}/nowhere", "no such results folder or baseline", "a baseline's name ends with .jsonl or .jsonl.gz"),
        ("{}/none.jsonl", "the baseline cannot be read: No such file or directory", None),
    ],
)
def test_what_is_not_there_is_named(versions, name, what, hint):
    with pytest.raises(UsageError) as caught:
        load_side(name.format(versions))
    assert caught.value.what == what.format(versions)
    assert hint is None or caught.value.hint == hint


def test_of_many_versions_the_first_are_named(store):
    for digest in "abcdefghij":
        put(store, run_spec("fptt lif digits", 0), id=digest * 12, code={"rule": digest * 3, "harness": "h"})
    with pytest.raises(UsageError) as caught:
        load_side(f"{store.folder}@rule=zzz")
    assert caught.value.hint == "rule: aaa, bbb, ccc, ddd, eee, fff, ggg, hhh, and 2 more"


def test_a_baseline_holds_what_a_comparison_reads(versions, tmp_path):
    records = load_side(versions).records
    samples = Measure(value=2.0, unit="second a sequence", method="median of many", samples=[1.0, 2.0, 3.0])
    failure = Failure(reason="no", log_tail=["a", "b"])
    measures = {
        **records[0].measures,
        "wall_time": samples,
        "training_time": samples,
        "energy": measure(None, "J", "no"),
    }
    records[0] = records[0].model_copy(update={"measures": measures, "failure": failure})
    path = tmp_path / "baselines" / "quick-laptop.jsonl"
    write_baseline(path, records[::-1])
    first, second = read_baseline(path)
    assert (first.spec, first.code, first.versions, first.machine) == (
        records[0].spec,
        records[0].code,
        records[0].versions,
        records[0].machine,
    )
    assert second.spec.replicate == 1
    assert first.measures["wall_time"].samples == [1.0, 2.0, 3.0] and set(first.measures) == {"loss", "wall_time"}
    assert first.failure == Failure(reason="no")
    lines = path.read_text().splitlines()
    assert len(lines) == 2 and '"optimiser":"adam"' in lines[0], "defaults of today are written out"
    comparison = compare_results(path, versions, stale_ok=True)
    assert comparison.counts["same"] and comparison.exit_code == 0


def test_a_baseline_is_for_its_suite_and_scale(versions, tmp_path, store):
    put(store, run_spec("eprop lif digits", suite="other"), measures={"loss": measure(1.0, "1")})
    path = tmp_path / "quick-laptop.jsonl"
    write_baseline(path, load_side(versions).selected(["quick"]).records)
    assert {row.verdict for row in compare_results(path, versions).rows} == {"same", "stale"}
    assert "new" in {row.verdict for row in compare_results(f"{versions}@rule=bbb", versions).rows}


def test_gates_beside_a_baseline_are_its_gates(versions, tmp_path):
    path = tmp_path / "base" / "quick-laptop.jsonl"
    write_baseline(path, load_side(f"{versions}@rule=aaa").records)
    assert compare_results(path, versions, stale_ok=True).exit_code == 0
    gate = "{metric: loss, compare: tolerance, better: lower, fail: 1 %, why: x}"
    (path.parent / "gates.yaml").write_text(f"gates: [{gate}]")
    assert compare_results(path, versions, stale_ok=True).exit_code == 1
    (path.parent / "gates.yaml").write_text(f"gates: [{gate}, {gate.replace('loss', 'lost')}]")
    with pytest.raises(UsageError, match="matched nothing"):
        compare_results(path, versions, stale_ok=True)
    (path.parent / "quick-laptop.gates.yaml").write_text(f"gates: [{gate.replace('1 %', '900 %')}]")
    assert (
        compare_results(path, versions, stale_ok=True).exit_code == 0
    )  # those of the one baseline come before those of the folder


def test_a_suite_that_neither_side_has_is_refused_beside_another(versions):
    with pytest.raises(UsageError, match="no record to compare of suite quikc") as caught:
        compare_results(versions, versions, suites=["quick", "quikc"], stale_ok=True)
    assert caught.value.hint == 'did you mean "quick"?'


def test_a_side_without_the_suite_is_refused_and_not_its_gates(versions, tmp_path):
    path = tmp_path / "base" / "quick-laptop.jsonl"
    write_baseline(path, load_side(f"{versions}@rule=aaa").records)
    (path.parent / "gates.yaml").write_text(
        "gates: [{metric: loss, compare: tolerance, better: lower, fail: 1 %, why: x}]"
    )
    with pytest.raises(UsageError, match="no record to compare of suite quik") as caught:
        compare_results(path, versions, suites=["quik"])
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    "line, what",
    [
        ("", "not a record of schema 1: line"),
        ("{}", "schema 1"),
        ('{"schema": 9}', "schema 1"),
        ("[" * 3000, "schema 1"),
    ],
)
def test_a_line_that_is_no_record_is_named(versions, tmp_path, line, what):
    path = tmp_path / "quick-laptop.jsonl"
    write_baseline(path, load_side(versions).records)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UsageError, match=what) as caught:
        read_baseline(path)
    assert caught.value.where == f"{path}:3"


def test_an_empty_baseline_and_one_that_is_too_large_are_refused(versions, tmp_path, monkeypatch):
    path = tmp_path / "quick-laptop.jsonl"
    path.write_text("")
    with pytest.raises(UsageError, match="empty"):
        read_baseline(path)
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_baseline(path)
    with pytest.raises(UsageError, match="not UTF-8"):
        write_baseline(path, load_side(versions).records)
    assert path.read_bytes() == b"\xff", "the old one is still there"
    path.unlink()
    write_baseline(path, load_side(versions).records[:1])
    before = path.read_bytes()
    monkeypatch.setattr("throughtime.comparing.baselines.MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="would take"):
        write_baseline(path, load_side(versions).records)
    assert path.read_bytes() == before, "the old one is still there"


def test_renewals_are_logged(tmp_path):
    import json

    for why in ("first", "a reason"):
        log_renewal(tmp_path / "quick-tiny.jsonl", why, {"worse": 2})
    first, entry = map(json.loads, (tmp_path / LOG).read_text().splitlines())
    assert first["why"] == "first" and entry["why"] == "a reason" and entry["changes"] == {"worse": 2}
    assert entry["who"] and entry["when"] and entry["versions"]["torch"] and entry["baseline"] == "quick-tiny.jsonl"
