"""Records and the store: written records are read again, and broken ones are reported."""

import json
import math
import os

import pydantic
import pytest

from throughtime.errors import UsageError
from throughtime.records.record import Failure, Measure, Record, read_record, write_record
from throughtime.records.results import Results
from throughtime.records.store import Store, parse_curve, read_curve
from throughtime.spec import LATER_DEFAULTS, ComponentSpec, RunSpec, Training, id_of
from throughtime.whole_files import write_whole


def spec(**changes):
    fixed = {kind: ComponentSpec(name=kind, label=kind) for kind in ("rule", "neuron", "network")}
    fixed["dataset"] = ComponentSpec(name="digits", options={"steps": 64, "classes": [0, 1]}, label="digits")
    fixed |= {"training": Training(epochs=2, clip=None), "passes": ["train"], "replicate": 0, "seed": 3}
    return RunSpec(**({"suite": "quick", "scale": "tiny"} | fixed | changes))


def record(run="0123456789ab", **changes):
    run_spec = changes.pop("spec", None) or spec()
    return Record(id=run, label=run_spec.label, spec=run_spec, **({"status": "ok"} | changes))


FULL = {
    "measures": {
        "accuracy": Measure(value=0.1 + 0.2, unit="fraction", method="test split", samples=[0.25, 1 / 3]),
        "wall_time": Measure(value=None, unit="second", method="time pass", missing="not on this replicate"),
    },
    "failure": Failure(reason="ended", where="epoch 3", exit_code=-9, log_tail=["a", "ü"]),
    "phases": {"load": 0.5},
    "machine": {"cores": 2, "busy": None},
    "versions": {"torch": "2"},
    "code": {"rule": "ab", "dirty": True},
    "command": "throughtime run 'a b'",
    "seconds": 1.5,
    "contended": False,
}


def test_a_record_is_read_as_it_was_written(tmp_path):
    whole = record(status="killed", **FULL)
    path = write_record(whole, tmp_path / "a" / "b")
    assert path == tmp_path / "a" / "b" / "record.json"
    assert read_record(path) == whole
    assert json.loads(path.read_text())["schema"] == 1
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]


def test_samples_that_are_no_numbers_come_back(tmp_path):
    diverged = Measure(value=None, unit="1", method="mean", missing="diverged", samples=[1.0, math.inf, math.nan])
    path = write_record(record(status="diverged", measures={"loss": diverged}), tmp_path)
    first, two, three = read_record(path).measures["loss"].samples
    assert (first, two) == (1.0, math.inf)
    assert math.isnan(three)
    assert "NaN" in json.loads(path.read_text())["measures"]["loss"]["samples"]  # a text: JSON has no such number


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused(value):
    with pytest.raises(pydantic.ValidationError, match="is not a measurement; give null and the reason"):
        Measure(value=value, unit="1", method="m")


@pytest.mark.parametrize(("value", "missing"), [(None, None), (0.0, "no room")])
def test_a_measure_has_a_value_or_a_reason(value, missing):
    with pytest.raises(pydantic.ValidationError, match="either a value or a reason"):
        Measure(value=value, unit="1", method="m", missing=missing)


def test_zero_is_a_value():
    assert Measure(value=0, unit="1", method="m").value == 0.0


@pytest.mark.parametrize("end", [0, 1, 100, -2])
def test_a_record_cut_short_is_refused(tmp_path, end):
    path = write_record(record(), tmp_path)
    path.write_text(path.read_text()[:end])
    with pytest.raises(UsageError, match="not a complete JSON file") as caught:
        read_record(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 2}, "not a record of schema 1"),
        ({"schema": None}, "not a record of schema 1"),
        ({"status": "fine"}, "not a record: status: Input should be 'ok'"),
        ({"extra": 1}, "not a record: extra: Extra inputs"),
        ({"spec": {}}, "not a record: spec.suite: Field required"),
        ({"measures": {"a": {"value": None, "unit": "1", "method": "m"}}}, "not a record: measures.a: Value error"),
    ],
)
def test_another_json_is_refused(tmp_path, change, told):
    path = write_record(record(), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError, match=told):
        read_record(path)


def test_a_list_bad_bytes_and_no_file_are_refused(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("[1]")
    with pytest.raises(UsageError, match="not a record of schema 1"):
        read_record(path)
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(UsageError, match="not a complete JSON file"):
        read_record(path)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_record(tmp_path / "none.json")


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, fails):
    path = tmp_path / "record.json"
    write_whole(path, "old")

    def full(*args):
        raise OSError(28, "No space left on device")

    if fails == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(type(path), "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_whole_replaces(tmp_path):
    write_whole(tmp_path / "new" / "f", "one")
    write_whole(tmp_path / "new" / "f", "two ü")
    assert (tmp_path / "new" / "f").read_bytes() == "two ü".encode()


# The spec and its id


def test_the_id_changes_with_each_choice_and_with_the_code():
    code = {"rule": "a"}
    same = {spec().id(code), RunSpec.model_validate_json(spec().model_dump_json()).id(code)}
    others = {
        spec(replicate=1).id(code),
        spec(seed=4).id(code),
        spec(scale="paper").id(code),
        spec(threads=2).id(code),
        spec(passes=["train", "time"]).id(code),
        spec().id({"rule": "b"}),
    }
    assert len(same) == 1
    assert len(others) == 6
    assert not same & others
    assert all(len(run_id) == 12 and set(run_id) <= set("0123456789abcdef") for run_id in same | others)


def test_an_option_that_was_added_later_changes_no_id_at_its_default():
    """The ids of committed runs stay; at any other value the option is part of the id."""
    plain = spec().model_dump(mode="json")
    older = {name: value for name, value in plain["training"].items() if name not in LATER_DEFAULTS}
    assert len(older) < len(plain["training"])
    assert id_of({**plain, "training": older}, {}) == spec().id({})
    for change in ({"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"mean_of_last": 5}, {"norm_in": "float64"}):
        training = spec().training.model_copy(update={"optimiser": "sgd", **change})
        without = spec().training.model_copy(update={"optimiser": "sgd"})
        assert spec(training=training).id({}) != spec(training=without).id({})


def test_labels():
    plain = spec(network=ComponentSpec(name="recurrent", label="recurrent"), replicate=2)
    assert (plain.label, plain.cell) == ("rule neuron digits #2", ("rule", "neuron", "recurrent", "digits"))
    assert spec().label == "rule neuron network digits #0"


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_training_settings_are_finite(value):
    with pytest.raises(pydantic.ValidationError, match="finite number"):
        Training(clip=value)


# The store


def test_the_store_lists_whole_records_and_names_the_broken_ones(tmp_path):
    store = Store(tmp_path)
    for run, suite, replicate in (("b" * 12, "quick", 1), ("a" * 12, "quick", 0), ("c" * 12, "other", 0)):
        write_record(record(run, spec=spec(suite=suite, replicate=replicate)), store.run_folder(suite, run))
    broken = store.run_folder("quick", "d" * 12) / "record.json"
    broken.parent.mkdir()
    broken.write_text('{"schema": 1, ')
    store.run_folder("quick", "e" * 12).mkdir()  # a run that was ended before its record: nothing to tell
    assert [(s.record.id, s.folder) for s in store.records()] == [
        (run, tmp_path / suite / run) for run, suite in (("c" * 12, "other"), ("a" * 12, "quick"), ("b" * 12, "quick"))
    ]
    assert len(store.broken) == 1
    assert store.broken[0].startswith(f"{broken}: not a complete JSON file")
    assert [s.record.id for s in store.records("other")] == ["c" * 12]
    assert store.broken == []


@pytest.mark.parametrize("suite", ["", "*", "..", "../results", "/", "/etc"])
def test_a_suite_that_is_no_name_of_a_folder_has_no_records(tmp_path, suite):
    store = Store(tmp_path / "results")
    write_record(record("a" * 12), store.run_folder("quick", "a" * 12))
    assert store.records(suite) == [] and len(store.records("quick")) == 1


def test_a_store_that_is_not_there_is_empty_and_one_that_is_a_file_is_refused(tmp_path):
    assert Store(tmp_path / "none").records() == []
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="file: the results folder is a file\n  --results needs a folder"):
            Store(place)


def test_the_frame_has_missing_values_as_nan_with_their_reasons(tmp_path):
    store = Store(tmp_path)
    write_record(record(**FULL), store.run_folder("quick", "a" * 12))
    (row,) = Results(store.folder).frame.to_dict("records")
    assert (row["accuracy"], row["missing.wall_time"]) == (0.1 + 0.2, "not on this replicate")
    assert math.isnan(row["wall_time"])
    assert "missing.accuracy" not in row
    assert (row["steps"], row["replicate"], row["epochs"], row["batch"]) == (64, 0, 2, 64)


def test_a_curve_ends_where_it_was_cut(tmp_path):
    assert read_curve(tmp_path) == []
    (tmp_path / "curve.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert read_curve(tmp_path) == [{"epoch": 1}, {"epoch": 2}]


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        ('{"epoch": 2, "validation": "0.5"}', '"validation" is "0.5", not a number'),
        ('{"epoch": 2, "validation": [0.5]}', '"validation" is [0.5], not a number'),
        ('{"epoch": 2, "validation": true}', '"validation" is true, not a number'),
        ('{"epoch": "2"}', 'not a row of a curve: "epoch" is missing or not an integer'),
        ("[2]", 'not a row of a curve: "epoch" is missing or not an integer'),
        ("[" * 100_000, "nested too deeply"),
        ('{"epoch": 2}, {"epoch": 3}', "not a complete JSON file"),  # two rows
        ('{"epoch', "not a complete JSON file"),
    ],
)
def test_a_damaged_curve_is_read_up_to_the_damage_which_is_named(tmp_path, damaged, why):
    whole = '{"epoch": 1, "validation": 0.5, "firing_rate": null}'
    (tmp_path / "curve.jsonl").write_text(f"{whole}\n{damaged}\n{whole}\n")
    assert read_curve(tmp_path) == [{"epoch": 1, "validation": 0.5, "firing_rate": None}]
    assert parse_curve(tmp_path)[1].startswith(f"{tmp_path}/curve.jsonl:2: {why}")
    (tmp_path / "curve.jsonl").write_text(f"{whole}\n")
    assert parse_curve(tmp_path)[1] is None


@pytest.mark.parametrize("depth", [300, 100_000])
def test_json_that_is_nested_too_deeply_is_a_broken_record(tmp_path, depth):
    store = Store(tmp_path)
    path = write_record(record(), store.run_folder("quick", "a" * 12))
    write_record(record("b" * 12), store.run_folder("quick", "b" * 12))
    path.write_text(path.read_text().replace('"machine": {}', f'"machine": {{"a": {"[" * depth}{"]" * depth}}}'))
    assert [stored.record.id for stored in store.records()] == ["b" * 12]
    (told,) = store.broken
    assert told.startswith(f"{path}: ") and ("recursion" in told or "nested too deeply" in told)
