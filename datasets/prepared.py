"""Datasets from files, which are found or downloaded, checked, and prepared once as memory-mapped arrays."""

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
    """Base of the datasets that read files. A subclass sets `files` and converts them to arrays in `build`.

    Memory holds only pages of the prepared files, which the processes of a machine share; each batch is gathered,
    unpacked and converted to time-major order when it is yielded. The SHA-256 is that of the content of the file or,
    for several files, of the lines `<SHA-256>  <name>` in the order of `files`.
    """

    readers: ClassVar[tuple[str, ...]] = ()
    """Modules whose code shapes the arrays, besides those of the class and its bases."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Third-party packages that shape the arrays: a new version rebuilds them."""

    bits: bool = False
    """Whether each number of `x.npy` is a bit (`cache.write_rows`)."""

    write_files: Callable[[Path], Sequence[Path]] | None = None
    """Writes the synthetic files; None: the dataset reads the real files."""

    def with_synthetic_files(
        self, write_files: Callable[[Path], Sequence[Path]], licence: str = "none needed: generated", **sizes: Any
    ) -> Self:
        """Read small synthetic files in place of the real ones, for tests and contract checks; return the dataset.

        The files are written in the real format to a temporary folder and read from there, so that tests cover the
        reader of the real data without network or cache.

        Args:
            write_files: writes the files into a folder and returns their paths, in the order of the real files.
            licence: licence of the synthetic files.
            **sizes: values of other attributes of this dataset.
        """
        self.write_files, self.files, self.licence = write_files, (), licence
        for name, size in sizes.items():
            setattr(self, name, size)
        return self

    def parameters(self) -> Mapping[str, Any]:
        """Return the options that shape the arrays."""
        return {}

    @abstractmethod
    def build(self, paths: Sequence[Path], folder: Path) -> None:
        """Convert the files that `needed` returns to arrays, and `save` these into an empty folder."""

    def expanded(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(cache.unpacked(rows.numpy(), self.inputs)) if self.bits else rows

    def raw(self) -> tuple[Sequence[Path], str]:
        """Return the checked files, and a name for the folder of prepared arrays."""
        files = self.needed()
        return [fetch.obtained(file) for file in files], files[0].folder

    def digest(self, paths: Sequence[Path]) -> str:
        """Return the SHA-256 of the raw data."""
        synthetic = self.write_files is not None
        files, digest = (type(self).files, fetch.content_sha256) if synthetic else (self.needed(), fetch.content_digest)
        return combined({file.name: digest(file, path) for file, path in zip(files, paths, strict=True)})

    def prepare(self) -> None:
        if self.write_files is None:
            self._folder_and_digest()

    def load(self) -> Arrays:
        if self.write_files is None:
            return self.ready(*self._folder_and_digest())
        with tempfile.TemporaryDirectory(prefix="throughtime-") as name:
            raw, ready = Path(name, "raw"), Path(name, "ready")
            raw.mkdir()
            ready.mkdir()
            paths = self.write_files(raw)
            self.build(paths, ready)
            return self.ready(ready, self.digest(paths), in_memory=True)

    def ready(self, folder: Path, digest: str, in_memory: bool = False) -> Arrays:
        """Return the arrays that `build` wrote, see `mapped`. A subclass that writes further files reads them here."""
        return mapped(folder, digest, in_memory)

    def _folder_and_digest(self) -> tuple[Path, str]:
        paths, name = self.raw()
        digest = self.digest(paths)
        return self.built(paths, digest, name), digest

    def built(self, paths: Sequence[Path], digest: str, name: str) -> Path:
        """Return the folder in the cache with the arrays from these files; build it if it does not exist."""
        modules = [kind.__module__ for kind in type(self).__mro__ if issubclass(kind, ArrayDataset)]
        key = {
            "raw": digest,
            "parameters": dict(self.parameters()),
            "code": source_digest(modules[0], [*modules[1:], *self.readers, cache.__name__]),
            "libraries": {library: version(library) for library in self.libraries},
        }
        return cache.prepared(fetch.cache(), name, key, lambda folder: self.build(paths, folder))


def combined(digests: Mapping[str, str]) -> str:
    """Combine the digests of files, by name, into one; the digest of a single file is returned unchanged."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()).hexdigest()


def save(folder: Path, target: np.ndarray, splits: Mapping[Split, np.ndarray], x: np.ndarray | None = None) -> None:
    """Write the arrays that `mapped` reads.

    Args:
        folder: the folder of `x.npy`.
        target: one row per sequence, as in `Arrays`.
        splits: positions of the sequences of each split, in the order of the split.
        x: the inputs; None: `x.npy` exists already.

    Raises:
        UsageError: a split has no sequence.
    """
    for split in SPLITS:
        if len(splits[split]) == 0:
            raise UsageError(f"no sequence is left for the {split} split", hint="there are too few sequences to split")
        np.save(folder / f"{split}.npy", splits[split].astype(np.int64))
    np.save(folder / "target.npy", target)
    if x is not None:
        cache.write_rows(folder / "x.npy", len(x), enumerate(x))


def mapped(folder: Path, digest: str, in_memory: bool = False) -> Arrays:
    """Return the arrays that `save` wrote.

    Args:
        folder: folder of prepared arrays.
        digest: SHA-256 of the raw data.
        in_memory: read the arrays into memory, because the folder is about to be removed.
    """

    def array(name: str) -> torch.Tensor:
        # Copy on write: nothing writes to it, but PyTorch warns about read-only memory.
        return torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode=None if in_memory else "c"))

    return Arrays(array("x"), array("target"), {split: array(split) for split in SPLITS}, digest)


def held_out(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split off a stratified share of the samples; return the positions of the rest and of that share.

    Args:
        labels: [samples], the class of each sample.
        share: between 0 and 1; at least one sample is split off.
        seed: seed of `stratified_order`, whose first samples are split off.
    """
    order = stratified_order(labels, seed)
    count = max(1, round(share * len(labels)))
    return order[count:], order[:count]
