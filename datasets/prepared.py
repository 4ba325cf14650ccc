"""Datasets made of files: found or downloaded, checked, prepared once in the cache, and fed from mapped memory."""

from __future__ import annotations

import hashlib
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from throughtime.datasets.arrays import ArrayDataset, Arrays, stratified_order
from throughtime.datasets.base import Split
from throughtime.datasets.files import cache, fetch
from throughtime.errors import UsageError
from throughtime.source_digest import source_digest

if TYPE_CHECKING:
    from typing_extensions import Self

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class PreparedDataset(ArrayDataset):
    """Base of the datasets that read files. A subclass says which, and how arrays are made of them.

    Nothing is kept in memory but pages of the prepared files, which the processes of a machine share; a batch is
    gathered, unpacked and turned to time-major when it is asked for. The SHA-256 is that of the content of the file or,
    where there are several, of the lines `<SHA-256>  <name>` of all in the order of `files`.
    """

    readers: ClassVar[tuple[str, ...]] = ()
    """Modules whose code shapes the arrays, besides those of the class and of its bases."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Packages from elsewhere that do: with another version the arrays are made anew."""

    make: Callable[[Path], Sequence[Path]] | None = None
    """Of a stand-in, what writes its files."""

    def with_synthetic_files(
        self, make: Callable[[Path], Sequence[Path]], licence: str = "none needed: generated", **sizes: Any
    ) -> Self:
        """Let small files that `make` writes stand in for the real ones: for tests and contract checks.

        They are written in the real format to a temporary folder, and read back from there: so the reader of the real
        data is what is tested, and neither network nor cache is used.

        Args:
            make: writes the files into the folder given; returns their paths, in the order of the real ones.
            licence: of what it writes.
            **sizes: attributes of this dataset that are smaller, too.
        """
        self.make, self.files, self.licence = make, (), licence
        for name, size in sizes.items():
            setattr(self, name, size)
        return self

    def parameters(self) -> Mapping[str, Any]:
        """The options that shape the arrays."""
        return {}

    @abstractmethod
    def build(self, paths: Sequence[Path], folder: Path) -> None:
        """Make arrays of the files `needed`, and `save` them into the empty folder given."""

    def raw(self) -> tuple[Sequence[Path], str]:
        """The files, checked, and a name for what is made of them."""
        files = self.needed()
        return [fetch.obtained(file) for file in files], files[0].folder

    def digest(self, paths: Sequence[Path]) -> str:
        """SHA-256 of the raw data."""
        known, files = (fetch.content_sha256, type(self).files) if self.make else (fetch.content_digest, self.needed())
        return combined({file.name: known(file, path) for file, path in zip(files, paths, strict=True)})

    def prepare(self) -> None:
        if self.make is None:
            self._folder_and_digest()

    def load(self) -> Arrays:
        if self.make is None:
            return mapped(*self._folder_and_digest())
        with tempfile.TemporaryDirectory(prefix="throughtime-") as name:
            raw, ready = Path(name, "raw"), Path(name, "ready")
            raw.mkdir()
            ready.mkdir()
            paths = self.make(raw)
            self.build(paths, ready)
            return mapped(ready, self.digest(paths), in_memory=True)

    def _folder_and_digest(self) -> tuple[Path, str]:
        paths, name = self.raw()
        digest = self.digest(paths)
        return self.built(paths, digest, name), digest

    def built(self, paths: Sequence[Path], digest: str, name: str) -> Path:
        """The folder in the cache with the arrays that were made of these files, made now if nobody has."""
        modules = [kind.__module__ for kind in type(self).__mro__ if issubclass(kind, PreparedDataset)]
        key = {
            "raw": digest,
            "parameters": dict(self.parameters()),
            "code": source_digest(modules[0], [*modules[1:], *self.readers, cache.__name__]),
            "libraries": {library: version(library) for library in self.libraries},
        }
        return cache.prepared(fetch.cache(), name, key, lambda folder: self.build(paths, folder))


def combined(digests: Mapping[str, str]) -> str:
    """One digest of several files, given by name; of one, its own."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()).hexdigest()


def save(folder: Path, target: np.ndarray, splits: Mapping[Split, np.ndarray], x: np.ndarray | None = None) -> None:
    """Write what `mapped` reads.

    Args:
        folder: where `x.npy` lies, or is written now.
        target: one row a sequence, as in `Arrays`.
        splits: positions of each split's sequences, in its order.
        x: if it is not there yet.

    Raises:
        UsageError: a split has no sequence.
    """
    for split in SPLITS:
        if len(splits[split]) == 0:
            raise UsageError(f"no sequence is left for the {split} split", hint="the data are too few to be split")
        np.save(folder / f"{split}.npy", splits[split].astype(np.int64))
    np.save(folder / "target.npy", target)
    if x is not None:
        cache.write_rows(folder / "x.npy", len(x), enumerate(x))


def mapped(folder: Path, digest: str, in_memory: bool = False) -> Arrays:
    """The arrays that `save` wrote.

    Args:
        folder: of prepared arrays.
        digest: SHA-256 of the raw data.
        in_memory: read them whole, since the folder is about to go.
    """

    def array(name: str) -> torch.Tensor:
        # Copy on write: nobody writes, but PyTorch warns of memory that it may not write to.
        return torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode=None if in_memory else "c"))

    return Arrays(array("x"), array("target"), {split: array(split) for split in SPLITS}, digest)


def held_out(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a share of the samples off, every class in its share; return the positions of the rest, and of those.

    Args:
        labels: [samples], the class of each.
        share: between 0 and 1; at least one sample is cut off.
        seed: as of `stratified_order`, whose start is cut off.
    """
    order = stratified_order(labels, seed)
    count = max(1, round(share * len(labels)))
    return order[count:], order[:count]
