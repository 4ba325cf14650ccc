"""Training from the weights of another suite's run, or of a file."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch

from tests.passes.test_checkpoint_faults import Code
from tests.synthetic_records import put
from throughtime.errors import UsageError
from throughtime.harness.build import build
from throughtime.harness.weights import load_network, write_weights
from throughtime.passes.passes import train_pass
from throughtime.records.store import read_curve
from throughtime.running.plan import plan
from throughtime.suites.suite import load_suite

SUITE = """
suite: {name}
rules: [bptt]
neurons: [lif]
networks: [{{name: recurrent, hidden: [{hidden}]}}]
datasets: [{{name: adding, steps: 12, sequences: 64, held_out: 64}}]
passes: [train]
replicates: 2
training: {{epochs: 1, batch: 64, {training}}}
"""


def written(folder: Path, name: str, training: str = "", hidden: int = 4) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(SUITE.format(name=name, training=training, hidden=hidden))
    return path


def tiny(path: Path):
    return load_suite(path).expand("tiny")


@pytest.fixture
def trained(store, tmp_path):
    """Two records of the suite `first` with weights that training did not find; return the state dict of each."""
    result = []
    for planned in plan(tiny(written(tmp_path, "first")), store):
        network = build(planned.spec).network
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(1.0 + planned.spec.replicate)
        write_weights(put(store, planned.spec, id=planned.id), network.state_dict(), {})
        result.append((planned.id, network.state_dict()))
    return result


def second(folder: Path, source: str, **options: int):
    return tiny(written(folder, "second", f"initial_weights: {source}", **options))


def test_each_replicate_begins_with_the_weights_of_its_own(store, tmp_path, trained):
    planned = plan(second(tmp_path, "first"), store)
    for p, (run, weights) in zip(planned, trained, strict=True):
        assert p.spec.initial_weights.run == run and p.unsupported is None
        network = build(p.spec).network.state_dict()
        assert all(torch.equal(network[name], w) for name, w in weights.items())
        random = build(p.spec.model_copy(update={"initial_weights": None})).network.state_dict()
        assert not any(torch.equal(random[name], w) for name, w in weights.items() if w.dim() > 1)


@pytest.mark.parametrize("contents", ["final", "a state dict"])
def test_a_file_gives_all_replicates_its_weights(contents, store, tmp_path, trained):
    (_, weights), _ = trained
    path = tmp_path / "w.pt"
    torch.save({"final": weights} if contents == "final" else weights, path)
    for p in plan(second(tmp_path, str(path)), store):
        assert (p.spec.initial_weights.file, p.spec.initial_weights.run) == (str(path), None)
        network = build(p.spec).network.state_dict()
        assert all(torch.equal(network[name], w) for name, w in weights.items())


def test_other_weights_are_another_run_and_a_copied_file_is_not(store, tmp_path, trained):
    def run_with(content: bytes, folder: str) -> str:
        path = tmp_path / folder / "w.pt"
        path.parent.mkdir()
        path.write_bytes(content)
        spec = plan(second(tmp_path, str(path)), store)[0].spec
        return spec.model_copy(update={"training": spec.training.model_copy(update={"initial_weights": "w.pt"})}).id({})

    assert run_with(b"one", "a") == run_with(b"one", "b") != run_with(b"other", "c")


def test_without_weights_the_runs_are_skipped_with_the_reason(store, tmp_path, trained):
    for p in plan(second(tmp_path, "zeroth"), store):
        assert p.unsupported.startswith(f"no weights of this cell and replicate in {store.folder / 'zeroth'}")
        assert "`keep_weights: true`" in p.unsupported


@pytest.mark.parametrize(
    "fault, words",
    [
        ("missing", "cannot be read"),
        ("changed", "changed since the run was planned"),
        ("other shape", "do not fit the network"),
        ("no weights", "cannot be loaded: not a dict of tensors and plain values"),
    ],
)
def test_wrong_weights_are_refused_with_their_file(fault, words, store, tmp_path, trained):
    path, (_, weights) = tmp_path / "w.pt", trained[0]
    torch.save([1] if fault == "no weights" else weights, path)
    if fault == "missing":
        path.unlink()
    with pytest.raises(UsageError, match=words) as caught:
        planned = plan(second(tmp_path, str(path), hidden=5 if fault == "other shape" else 4), store)
        if fault == "changed":
            torch.save({}, path)
        build(planned[0].spec)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("how", ["an older format of torch", "code", "a compressed archive"])
def test_weights_in_a_format_that_can_run_code_or_grow_are_refused_by_every_reader(how, store, tmp_path, trained):
    run, weights = trained[0]
    path, old_place = tmp_path / "w.pt", store.run_folder("first", run) / "weights.pt"
    if how == "an older format of torch":
        torch.save({"final": weights}, path, _use_new_zipfile_serialization=False)
        assert torch.load(path, weights_only=True).keys() == {"final"}, "torch itself would read it"
    elif how == "code":
        torch.save({"final": Code(tmp_path / "ran")}, path)
    else:
        torch.save({"final": weights}, tmp_path / "plain.pt")
        with ZipFile(tmp_path / "plain.pt") as plain, ZipFile(path, "w", ZIP_DEFLATED) as packed:
            for name in plain.namelist():
                packed.writestr(name, plain.read(name))
    planned = plan(second(tmp_path, str(path)), store)
    with pytest.raises(UsageError, match="weights cannot be loaded: ") as caught:
        build(planned[0].spec)
    assert caught.value.where == str(path) and "weights_only" not in str(caught.value)
    old_place.write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match="weights cannot be loaded: ") as caught:
        load_network(store.folder, run)
    assert caught.value.where == str(old_place) and not (tmp_path / "ran").exists()


def test_a_run_goes_on_where_the_other_suite_ended(store, tmp_path):
    def train(path: Path) -> list[dict[str, float]]:
        planned = plan(tiny(path), store)[1]
        spec = planned.spec.model_copy(update={"keep_weights": True})
        put(store, spec, id=planned.id)
        train_pass(spec, build(spec), store.run_folder(spec.suite, planned.id))
        return read_curve(store.run_folder(spec.suite, planned.id))

    (before,) = train(written(tmp_path, "first", "learning_rate: 0.05"))
    for source, same in (("initial_weights: first, ", True), ("", False)):
        start, _ = train(written(tmp_path, "second", f"{source}learning_rate: 0.05, alignment: [0]"))
        assert start["epoch"] == 0
        assert (start["validation.mse"] == before["validation.mse"]) is same
