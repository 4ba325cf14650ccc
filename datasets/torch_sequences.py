"""Datasets of PyTorch and tonic: any object with a length and items ([steps, inputs], label)."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from throughtime.datasets import own_sequences
from throughtime.datasets.base import Split
from throughtime.datasets.files import cache, fetch
from throughtime.datasets.files.remember import remembered
from throughtime.datasets.own_sequences import LabelAt, OwnSequences, Sequences, padded
from throughtime.errors import UsageError, first_line, suggestion
from throughtime.python_files import import_file, module_name
from throughtime.registry import dataset
from throughtime.whole_files import write_whole

PREFIX = "throughtime_data_"
"""Beginning of the names of the modules of users' files."""


@dataset("torch")
class TorchSequences(OwnSequences):
    """Datasets of PyTorch or tonic, which Python code makes: items ([steps, inputs], label).

    An entry is `module:attribute` of an installed module or `FILE.py:attribute`. The attribute is the dataset itself,
    or a function without arguments that returns it: an object with `len` and items (x, y), such as a `Dataset` of
    PyTorch, or one of tonic with a transform to frames. x [steps, inputs] are numbers; x [steps, channels, rows,
    columns] are images for convolutional networks. y is as in `npz`: a class, a class per step, or numbers.

    All items are read once, in the order of their index, and kept as arrays in the cache: random transforms are drawn
    once. `prepare` reads them again and notices a change; other uses take those of the last `prepare` while the entry's
    file is the same. `OwnSequences` describes padding and the default validation split.

    Args:
        train: entry of the training set.
        test: entry of the test set.
        validation: entry of the validation set; null: a tenth of train.
        label_at: as in `npz`.

    Raises:
        UsageError: at the first use: there is no such attribute, or an item has another form.
    """

    readers = (own_sequences.__name__,)

    def __init__(
        self, *, train: str, test: str, validation: str | None = None, label_at: LabelAt | None = None
    ) -> None:
        super().__init__("", label_at)
        entries: dict[Split, str | None] = {"train": train, "validation": validation, "test": test}
        self.entries = {split: entry for split, entry in entries.items() if entry is not None}
        self._read: dict[Split, Sequences] = {}

    @classmethod
    def tiny(cls) -> TorchSequences:
        """Return the dataset with 24 + 8 generated sequences of 5 to 9 steps."""
        return cls(train="made.py:train", test="made.py:test").with_synthetic_files(made_file)

    def raw(self) -> tuple[Sequence[Path], str]:
        return [Path(_located(entry)) for entry in self.entries.values()], "torch"

    def digest(self, paths: Sequence[Path], again: bool = False) -> str:
        """Return the SHA-256 of all items; that of the last `prepare` if the files of the entries are the same."""
        self.paths, self._read = paths, {}
        notes = fetch.cache() / "digests"
        return remembered(paths, json.dumps(self.entries), lambda: _sha256(self._sequences()), notes, again)

    def prepare(self) -> None:
        if self.write_files is None:
            paths, name = self.raw()
            self.built(paths, self.digest(paths, again=True), name)

    def parts(self, paths: Sequence[Path]) -> dict[Split, Sequences]:
        self.paths = paths
        parts, self._read = self._sequences(), {}
        return parts

    def _sequences(self) -> dict[Split, Sequences]:
        if not self._read:
            places = zip(self.entries.items(), self.paths, strict=False)
            made = self.write_files is not None
            named = {split: f"{path}:{entry.rpartition(':')[2]}" if made else entry for (split, entry), path in places}
            self._read = {split: sequences_of(_loaded(entry), entry) for split, entry in named.items()}
        return self._read


def as_dataset(train: Any, test: Any, validation: Any = None, *, label: str = "mine") -> dict[str, str]:
    """Return a suite's entry for datasets of PyTorch or tonic that exist in this process.

    All items are read and written to the cache as a folder of `npz` files, named by their content.

    Args:
        train: object with `len` and items (x, y), see the dataset `torch`.
        test: the same for the test split.
        validation: the same for the validation split; None: a tenth of train.
        label: name of the dataset in tables, one word.

    Raises:
        UsageError: an item has another form.

    Example:
        >>> items = [(torch.rand(5, 3), i % 2) for i in range(20)]
        >>> entry = tt.as_dataset(items, items[:4], label="noise")  # tt.run(suite, set={"datasets": [entry]})
        >>> tt.build_dataset("npz", path=entry["path"]).size("test")
        4
    """
    given: dict[Split, Any] = {"train": train, "validation": validation, "test": test}
    parts = {split: sequences_of(data, split) for split, data in given.items() if data is not None}
    like = parts["train"]
    for part in parts.values():
        own_sequences.check(part, like)

    def write(folder: Path) -> None:
        for split, part in parts.items():
            length = np.array([len(x) for x in part.x])
            per_step = part.y[0].ndim == (2 if part.y[0].dtype.kind == "f" else 1)
            y = padded(part.y, length.max(), -1 if part.y[0].dtype.kind in "iu" else np.nan) if per_step else part.y
            arrays: dict[str, Any] = {"x": padded(part.x, length.max(), 0), "y": np.array(y), "length": length}
            if part.layout is not None:
                arrays["layout"] = np.array(part.layout)
            np.savez(folder / f"{split}.npz", **arrays)

    place = cache.prepared(fetch.cache(), "objects", {"sha256": _sha256(parts)}, write)
    return {"name": "npz", "label": label, "path": str(place)}


def sequences_of(data: Any, where: str) -> Sequences:
    """Read all items of a dataset of PyTorch or tonic.

    Raises:
        UsageError: it has no length, or an item is not (x, y) with numbers.
    """
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        raise UsageError(f"{type(data).__name__} is no dataset: it has no len or no items", where)
    xs, ys, shape = [], [], None
    for i in range(len(data)):
        place = f"{where}: item {i}"
        try:
            item = data[i]
        except Exception as error:  # the user's code may raise anything
            raise UsageError(f"cannot be read: {type(error).__name__}: {first_line(error)}", place) from error
        try:
            x, y = item
        except (TypeError, ValueError) as error:
            raise UsageError(f"not a pair (x, y): {first_line(error)}", place) from error
        x, y = _array(x, "x", place), _array(y, "y", place)
        if x.ndim < 2:
            raise UsageError(f"x is {list(x.shape)}, where [steps, inputs] is expected", place)
        shape = shape or x.shape[1:]
        if x.shape[1:] != shape:
            raise UsageError(f"x is {list(x.shape)}, not [steps, {', '.join(map(str, shape))}]", place)
        xs.append(x.reshape(len(x), -1))
        y = y.astype(np.float32 if y.dtype.kind == "f" else np.int64)
        ys.append(y.reshape(1) if y.dtype.kind == "f" and y.ndim == 0 else y)
    layout = tuple(shape) if shape is not None and len(shape) == 3 else None
    return Sequences(xs, ys, where, layout)


def _array(value: Any, name: str, where: str) -> np.ndarray:
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError) as error:  # lists of unequal lengths; a type of numbers that NumPy lacks
        raise UsageError(f"{name} is no array: {first_line(error)}", where) from error
    if array.dtype.names:
        raise UsageError(f"{name} is events", where, "give the dataset transform=tonic.transforms.ToFrame(...)")
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{name} is {array.dtype}, not numbers", where)
    return array.astype({"b": np.uint8, "f": np.float32}.get(array.dtype.kind, array.dtype))


def _sha256(parts: Mapping[Split, Sequences]) -> str:
    """Return the SHA-256 of the shapes, types and numbers of all items."""
    digest = hashlib.sha256()
    for split, part in parts.items():
        digest.update(f"{split} {part.layout}\n".encode())
        for array in (array for item in zip(part.x, part.y, strict=True) for array in item):
            digest.update(f"{array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _located(entry: str) -> str:
    """Return the source file of an entry.

    Raises:
        UsageError: the entry has another form, or there is no such file or module.
    """
    place, _, attribute = entry.rpartition(":")
    if not place or not attribute.isidentifier():
        raise UsageError(f'"{entry}" is no entry', hint="write module:attribute or FILE.py:attribute")
    if place.endswith(".py"):
        path = Path(place).expanduser().resolve()
        if not path.is_file():
            raise UsageError("no such file", str(path))
        return str(path)
    try:
        spec = importlib.util.find_spec(place)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise UsageError(f'no installed module "{place}"', entry, "a file of yours is FILE.py:attribute")
    return spec.origin


def _loaded(entry: str) -> Any:
    """Return the dataset that an entry denotes."""
    place, _, attribute = entry.rpartition(":")
    path = _located(entry)
    try:
        file = Path(path)
        is_file = place.endswith(".py")
        module = import_file(file, module_name(PREFIX, file)) if is_file else importlib.import_module(place)
        if not hasattr(module, attribute):
            known = [name for name in vars(module) if not name.startswith("_")]
            raise UsageError(f'no "{attribute}" in it', path, suggestion(attribute, known))
        data = getattr(module, attribute)
        return data() if callable(data) and not hasattr(data, "__len__") else data
    except UsageError:
        raise
    except Exception as error:  # of the user's code
        raise UsageError(f"{entry} raised {type(error).__name__}: {first_line(error)}", path) from error


MADE = """
import numpy as np

random = np.random.RandomState(0)


def made(n):
    lengths = random.randint(5, 10, n)
    return [(random.random_sample((length, 2)).astype(np.float32), i % 2) for i, length in enumerate(lengths)]


train, test = made(24), made(8)
"""


def made_file(folder: Path) -> list[Path]:
    """Write a file with two generated datasets; return its path for each split."""
    write_whole(folder / "made.py", MADE, lasting=False)
    return [folder / "made.py"] * 2
