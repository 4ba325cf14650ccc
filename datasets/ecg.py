"""QTDB: electrocardiograms as events, with a label at each step."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt

from throughtime.datasets.files import fetch
from throughtime.datasets.prepared import PreparedDataset, save
from throughtime.datasets.task import Classification
from throughtime.errors import UsageError, first_line
from throughtime.registry import dataset

REPOSITORY = "https://github.com/byin-cwi/Efficient-spiking-networks"
RAW = "https://raw.githubusercontent.com/byin-cwi/Efficient-spiking-networks/HEAD"
CHANNELS, CLASSES = 4, 6
# Fraction of the labelled test steps in the most frequent training class, at full length.
ALWAYS_TP = {"masked": 0.336, "class 0": 0.301}


def _file(name: str, folder: str, sha256: str) -> fetch.DataFile:
    origin = fetch.Origin([f"{RAW}/{folder}/{name}"], f"sha256:{sha256}")
    return fetch.DataFile("qtdb", "qtdb", name, sha256, lambda: origin, page=REPOSITORY)


FILES = (
    _file("QTDB_train.mat", "data", "72d1a10c96f1540880447e07256835d66da419c0b34f3dff495731a7928c5bc7"),
    _file("QTDB_test.mat", "NMI_vis/ecg", "916f11e21679a5b61988305bbb7cd1e6df8b34f1ed4a157a7a4e295d400ef232"),
)


@dataset("qtdb")
class Ecg(PreparedDataset):
    """QTDB: 618 + 141 segments of electrocardiograms, 1301 steps of 4 event channels, with one of 6 labels per step.

    x_t in {-1, 0, 1}^4 marks changes of the two leads up and down (one channel has a few -1). The target of each step
    is the wave or the interval between waves: P, PQ, QR, RS, ST, TP as 0 ... 5.

    8 % of the training steps and 10 % of the test steps have no label; their target is -1 and they do not count. The
    authors of the files label them with class 0, the argmax of six zeros.

    The validation split is the last tenth of the training file, 62 consecutive sequences: neighbours in the file come
    from the same recording (their event rates differ by a quarter of the difference of random pairs), and a random
    split would put parts of one person's recording into both splits. The source does not state whether the training and
    the test split share people.

    Args:
        unlabelled: target of steps without a label: `masked`, or `class 0` as in the authors' code.
        steps: T, the number of steps from the start of each sequence; 1301 is the whole sequence.
        skip: number of steps at the start of each sequence that do not count: their label is -1.

    Raises:
        UsageError: at the first use, if a file is missing, has the wrong content, or holds NaN.

    Source: Laguna, Mark, Goldberger and Moody, Computers in Cardiology 24 (1997) 673; as events, Yin, Corradi and
    Bohte, Nature Machine Intelligence 3 (2021), who published the files.
    """

    licence = "ODC-By (unverified)"
    files = FILES
    inputs = CHANNELS
    outputs = CLASSES
    length = 1301

    def __init__(
        self,
        *,
        unlabelled: Literal["masked", "class 0"] = "masked",
        steps: Annotated[int, Field(ge=1, le=1301)] = 1301,
        skip: NonNegativeInt = 0,
    ) -> None:
        if skip >= steps:
            raise ValueError(f"skip: {skip} of {steps} steps leaves none")
        self.unlabelled, self.steps, self.skip = unlabelled, steps, skip
        self.task = Classification(self.outputs, per_step=True, chance=ALWAYS_TP[unlabelled])
        if steps < 1301 or skip:  # the frequencies of the classes are others
            self.task.metric = self.task.metric._replace(chance=None)
        self.repeated = 0.0 if steps == 1301 else None

    @classmethod
    def tiny(cls) -> Ecg:
        """Return 30 + 8 synthetic sequences of 24 steps in the same format."""
        return cls(steps=24).with_synthetic_files(synthetic_ecg, length=24)

    def parameters(self) -> Mapping[str, Any]:
        return {"unlabelled": self.unlabelled, "steps": self.steps, "skip": self.skip}

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        (train_x, train_y), (test_x, test_y) = (self._read(path) for path in paths)
        cut = len(train_x) - max(1, round(0.1 * len(train_x)))
        train, validation = np.split(np.arange(len(train_x)), [cut])
        test = len(train_x) + np.arange(len(test_x))
        save(
            folder,
            np.concatenate([train_y, test_y]),
            {"train": train, "validation": validation, "test": test},
            np.concatenate([train_x, test_x]),
        )

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Return x [sequences, steps, 4] and labels [sequences, steps], both int8."""
        import scipy.io

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of sparse matrices, which are refused below
                content = scipy.io.loadmat(path, variable_names=["x", "y"])
            x, y = content["x"], content["y"]
        except KeyError as error:
            raise UsageError(f"the file has no variable {error}", where=str(path)) from error
        except Exception as error:  # scipy raises zlib.error, TypeError, ValueError and others
            raise UsageError(f"not a MATLAB 5 file, or truncated: {first_line(error)}", where=str(path)) from error
        for name, array in (("x", x), ("y", y)):
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
                raise UsageError(f"{name} is no array of numbers", where=str(path))
        if x.shape != (len(x), self.length, CHANNELS) or y.shape != (len(x), self.length, CLASSES):
            raise UsageError(f"x has shape {list(x.shape)} and y {list(y.shape)}", where=str(path))
        if not np.isfinite(x).all():
            raise UsageError(f"NaN in sequence {np.argwhere(~np.isfinite(x))[0, 0]}", where=str(path))
        for wrong, what in (
            (np.abs(x) > 127, "number beyond ± 127"),
            (x != np.rint(x), "number that is not whole"),
            (~np.isin(y, (0, 1)), "label that is neither 0 nor 1"),
        ):
            if wrong.any():
                raise UsageError(f"a {what} in sequence {np.argwhere(wrong)[0, 0]}", where=str(path))
        if (y.sum(2) > 1).any():
            raise UsageError(f"more than one label at a step of sequence {np.argwhere(y.sum(2) > 1)[0, 0]}", str(path))
        label = y.argmax(2).astype(np.int8)
        if self.unlabelled == "masked":
            label[y.sum(2) == 0] = -1
        label[:, : self.skip] = -1
        return x[:, : self.steps].astype(np.int8), label[:, : self.steps]


def synthetic_ecg(folder: Path) -> list[Path]:
    """Write the two files with synthetic sequences of 24 steps, as in `Ecg.tiny`; return their paths."""
    import scipy.io

    random = np.random.RandomState(0)
    paths = [folder / file.name for file in FILES]
    for path, n in zip(paths, (30, 8), strict=True):
        phase = (np.arange(24) + random.randint(0, CLASSES, (n, 1))) // 3 % CLASSES
        y = np.eye(CLASSES, dtype=np.uint8)[phase]
        y[:, :2] = 0  # unlabelled
        x = (random.random_sample((n, 24, CHANNELS)) < 0.3).astype(np.int16)
        scipy.io.savemat(path, {"x": x, "y": y}, do_compression=True)
        with path.open("r+b") as file:  # replaces the date, so that the files are always the same
            file.write(b"MATLAB 5.0 MAT-file".ljust(116))
    return paths
