"""Any folder of `.npz` files as a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from throughtime.datasets import own_sequences
from throughtime.datasets.base import Split
from throughtime.datasets.own_sequences import MOST_CLASSES, LabelAt, OwnSequences, Sequences
from throughtime.datasets.prepared import SPLITS
from throughtime.errors import UsageError, first_line
from throughtime.registry import dataset


@dataset("npz")
class NpzFolder(OwnSequences):
    """A user's own sequences, in a folder with `train.npz`, `test.npz` and, if you like, `validation.npz`.

    Each file contains

        x        [sequences, steps, inputs], numbers
        y        targets: integers [sequences] (one class) or [sequences, steps] (a class per step; -1: no label);
                 or real numbers [sequences, outputs] or [sequences, steps, outputs] (NaN: no label)
        length   [sequences], if lengths differ: the number of valid steps of each sequence; padding follows them
        layout   [3], if a step is an image: its channels, rows and columns, whose product is the number of inputs

    Instead of `train.npz` there may be a folder `train` with a file for each sequence, x [steps, inputs] and y without
    the first dimension, in the order of the file names. `OwnSequences` describes the padding of shorter sequences and
    the default validation split.

    Args:
        path: the folder.
        label_at: the step at which a label for the whole sequence counts: `last`, the sequence's own last step; `end`,
            the last step of the longest sequence, after the padding; null: `last`.

    Raises:
        UsageError: at the first use: an array is missing, has a wrong shape, or contains NaN.
    """

    readers = (own_sequences.__name__,)

    def __init__(self, *, path: str, label_at: LabelAt | None = None) -> None:
        super().__init__(path, label_at)

    @classmethod
    def tiny(cls) -> NpzFolder:
        """Return the dataset with 24 + 8 generated sequences of 5 to 9 steps, with a class per step."""
        return cls(path="made").with_synthetic_files(made_folder)

    def raw(self) -> tuple[Sequence[Path], str]:
        if not self.path.is_dir():
            raise UsageError("no such folder", where=str(self.path))
        return [path for split in SPLITS for path in _files(self.path, split)], "npz"

    def parts(self, paths: Sequence[Path]) -> dict[Split, Sequences]:
        folder = self.path if self.write_files is None else paths[0].parent
        parts: dict[Split, Sequences] = {}
        for split in SPLITS:
            files = _files(folder, split)
            if not files:
                continue
            if files[0].parent == folder:
                parts[split] = _sequences_in(files[0])
            else:
                read = [_arrays(file) for file in files]
                for file, arrays in zip(files, read, strict=True):
                    if "length" in arrays:
                        raise UsageError(
                            "length in the file of one sequence", str(file), "leave padding out of x and y"
                        )
                    if "layout" in arrays:
                        hint = f"images have one file a split, {split}.npz"
                        raise UsageError("layout in the file of one sequence", str(file), hint)
                y = [_target_array(arrays["y"]) for arrays in read]
                parts[split] = Sequences([arrays["x"] for arrays in read], y, str(folder / split))
        return parts


def made_folder(folder: Path) -> list[Path]:
    """Write `train.npz` and `test.npz` with generated sequences; return their paths."""
    random = np.random.RandomState(0)
    for name, n in (("train", 24), ("test", 8)):
        length = random.randint(5, 10, n)
        x = random.random_sample((n, 9, 2)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x, y=(x[:, :, 0] > x[:, :, 1]).astype(np.int64), length=length)
    return [folder / "train.npz", folder / "test.npz"]


def _files(folder: Path, split: Split) -> list[Path]:
    """Return the file of a split, or the files in its folder."""
    single, many = folder / f"{split}.npz", sorted((folder / split).glob("*.npz"))
    if single.is_file() and many:
        raise UsageError(f"both {split}.npz and a folder {split}", where=str(folder))
    if not single.is_file() and not many and split != "validation":
        raise UsageError(f"neither {split}.npz nor a folder {split} with .npz files in it", where=str(folder))
    return [single] if single.is_file() else many


def _sequences_in(path: Path) -> Sequences:
    """Read the sequences of a file that contains many."""
    arrays = _arrays(path)
    x, y = arrays["x"], _target_array(arrays["y"])
    if x.ndim != 3 or y.shape[:1] != x.shape[:1]:
        what = f"x is {list(x.shape)} and y {list(y.shape)}, where x is [sequences, steps, inputs]"
        raise UsageError(what, where=str(path))
    length = arrays.get("length", np.full(len(x), x.shape[1]))
    if length.shape != (len(x),) or length.dtype.kind not in "iu" or not ((length > 0) & (length <= x.shape[1])).all():
        raise UsageError(f"length is not one of 1 ... {x.shape[1]} for each sequence", where=str(path))
    per_step = y.ndim == (3 if y.dtype.kind == "f" else 2)
    return Sequences(
        [sequence[:n] for sequence, n in zip(x, length, strict=True)],
        [targets[:n] if per_step else targets for targets, n in zip(y, length, strict=True)],
        str(path),
        tuple(arrays["layout"].ravel().tolist()) if "layout" in arrays else None,
    )


def _arrays(path: Path) -> Mapping[str, Any]:
    try:
        # This function opens the file, because NumPy leaves a damaged one open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > psutil.virtual_memory().total:
                raise ValueError("its arrays exceed the memory of this machine")
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # errors of the zip archive, its compression, or a header, which NumPy parses as Python
        raise UsageError(f"not an npz file of numbers, or truncated: {first_line(error)}", where=str(path)) from error
    if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise UsageError(f"the member {others[0]} is no array", where=str(path))
    for name in ("x", "y"):
        if name not in arrays:
            raise UsageError(f"no {name} in it, only {', '.join(arrays) or 'nothing'}", where=str(path))
        if arrays[name].dtype.kind not in "biuf":
            raise UsageError(f"{name} is {arrays[name].dtype}, not numbers", where=str(path))
    if arrays["y"].dtype.kind == "u" and arrays["y"].size and arrays["y"].max() > MOST_CLASSES:
        raise UsageError(f"class {arrays['y'].max()}: there are at most {MOST_CLASSES} classes", where=str(path))
    arrays["x"] = arrays["x"].astype({"b": np.uint8, "f": np.float32}.get(arrays["x"].dtype.kind, arrays["x"].dtype))
    return arrays


def _target_array(y: np.ndarray) -> np.ndarray:
    return y.astype(np.float32 if y.dtype.kind == "f" else np.int64)
