"""A checkpoint that cannot be read or written is reported and stops nothing; no code in it is run."""

from __future__ import annotations

import errno
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from tests.passes.test_checkpoint import spec, stop, train, uninterrupted
from throughtime.algorithms.bptt import BPTT
from throughtime.harness.build import build
from throughtime.harness.tensor_file import DamagedError, packed, unpacked
from throughtime.passes import passes, trainer
from throughtime.records.files import CHECKPOINT
from throughtime.records.store import read_curve

# --- that cannot be used


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def flipped(data: bytes) -> bytes:
    """One bit of a tensor changed: torch itself reads it without a word."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        first = archive.getinfo("archive/data/0")
        place = data.index(archive.read(first), first.header_offset)
    changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    torch.load(io.BytesIO(changed), weights_only=True)
    return changed


def without(data: bytes, what: str) -> bytes:
    return packed({name: value for name, value in unpacked(data).items() if name != what})


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


DAMAGED = {
    "empty": lambda good, folder: b"",
    "cut short": lambda good, folder: good[: len(good) // 2],
    "a bit changed": lambda good, folder: flipped(good),
    "a text": lambda good, folder: b"weights\n" * 100,
    "a pickle with code": lambda good, folder: pickle.dumps({"network": Code(folder / "ran")}),
    "a torch file with code": lambda good, folder: saved({"network": Code(folder / "ran")}),
    "a list": lambda good, folder: saved([1, 2, 3]),
    "of something else": lambda good, folder: saved({"epoch": 3}),
    "without a part": lambda good, folder: without(good, "aligned"),
}


def beside_epochs(capsys) -> list[str]:
    """Lines of the log other than those of epochs."""
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("epoch ")]


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_or_foreign_file_is_told_of_and_training_begins_anew(how, tmp_path, capsys):
    run = spec()
    whole, _ = uninterrupted(run, tmp_path / "whole")
    stop(run, tmp_path, 5)
    good = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(DAMAGED[how](good, tmp_path))
    result = passes.train_pass(run, build(run), tmp_path)
    said = beside_epochs(capsys)
    assert len(said) == 1 and said[0].startswith("checkpoint.pt cannot be resumed, training starts again: ")
    assert whole.measures.items() <= result.measures.items()
    assert result.continued == 0 and len(read_curve(tmp_path)) == 2
    assert not (tmp_path / "ran").exists()


def test_so_is_the_checkpoint_of_another_run_and_one_whose_curve_is_gone(tmp_path, capsys):
    run = spec()
    whole, _ = uninterrupted(run, tmp_path / "whole")
    stop(spec(wiring={"hidden": [7]}), tmp_path, 5)
    assert whole.curve == train(run, tmp_path).curve
    assert "starts again: RuntimeError: Error(s) in loading state_dict" in capsys.readouterr().out
    (tmp_path / CHECKPOINT).unlink()
    stop(run, tmp_path, 5)
    (tmp_path / "curve.jsonl").write_text('{"epoch": 1')
    assert whole.curve == train(run, tmp_path).curve
    assert "starts again: ValueError: the learning curve has lost some of its 1 rows" in capsys.readouterr().out


def test_no_byte_of_a_checkpoint_can_change_unseen():
    good = packed({"weights": torch.arange(40.0), "n": 3})
    for place in range(0, len(good), 7):
        changed = good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :]
        try:
            contents = unpacked(changed)
        except DamagedError:
            continue
        assert torch.equal(contents["weights"], torch.arange(40.0)) and contents["n"] == 3


# --- that cannot be written


def test_a_full_disk_is_told_of_once_and_ends_nothing(tmp_path, monkeypatch, capsys):
    run = spec()
    whole, _ = uninterrupted(run, tmp_path / "whole")

    def full(path: Path, content: object, lasting: bool = True) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(trainer, "write_whole", full)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    assert whole.differs(train(run, tmp_path)) == []
    assert beside_epochs(capsys) == ["no checkpoint, training continues: [Errno 28] No space left on device"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.jsonl", "whole"]
    assert stop(run, tmp_path, 2) == "stopped at epoch 1, update 12, no checkpoint could be written"


class KeepsItsLog(BPTT):
    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.log = open(os.devnull)  # noqa: SIM115, PTH123


def test_a_rule_that_cannot_be_kept_is_told_of_once_and_trains(tmp_path, monkeypatch, capsys):
    whole, _ = uninterrupted(spec("bptt"), tmp_path / "whole")
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    rule = KeepsItsLog()
    assert whole.differs(train(spec("bptt"), tmp_path, rule=rule)) == []
    rule.log.close()
    (line,) = beside_epochs(capsys)
    assert line.startswith("no checkpoint, training continues: `log` of the rule (TextIOWrapper) cannot be saved")
    assert not (tmp_path / CHECKPOINT).exists()
