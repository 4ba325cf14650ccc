"""Facts of datasets that read files: what their digest covers, and that the test split shapes no training data."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch

from throughtime.checks.fact import DoesNotApplyError, Observed
from throughtime.datasets.base import Split
from throughtime.datasets.prepared import PreparedDataset
from throughtime.errors import UsageError
from throughtime.registry import Component

CHANGES = 5
"""Bytes of a file that are changed, one after the other, until a change is noticed: some bytes of an archive are no
content."""
MOST_FILES = 8
"""Largest number of files of a folder that are changed."""


def _with_files(component: Component) -> PreparedDataset:
    dataset = cast("type[PreparedDataset]", component.factory).tiny()
    if not isinstance(dataset, PreparedDataset) or dataset.write_files is None:
        raise DoesNotApplyError("its tiny variant reads no files")
    return dataset


def digest_covers(component: Component) -> Observed:
    """Count files with content whose change neither changes the digest nor is refused."""
    dataset, missed = _with_files(component), []
    assert dataset.write_files is not None
    with tempfile.TemporaryDirectory(prefix="throughtime-") as name:
        written, copies = Path(name, "written"), Path(name, "copies")
        written.mkdir()
        copies.mkdir()
        paths = [_copied(path, copies / path.name) for path in dataset.write_files(written)]  # it may be in the package
        before = dataset.digest(paths)
        files = sorted(path for path in copies.rglob("*") if path.is_file())
        for file in files[:: -(-len(files) // MOST_FILES)]:
            if not _notices(dataset, paths, file, before):
                missed.append(file.name)
    return Observed(len(missed), f"a change of {', '.join(missed)}" if missed else "")


def _copied(path: Path, to: Path) -> Path:
    return Path((shutil.copytree if path.is_dir() else shutil.copyfile)(path, to))


def _notices(dataset: PreparedDataset, paths: Sequence[Path], file: Path, before: str) -> bool:
    """Return whether the digest of the files is another, or none, with a changed byte in one of them."""
    content = file.read_bytes()
    try:
        for i in range(1, CHANGES + 1):
            changed = bytearray(content)
            changed[len(content) * i // (CHANGES + 1)] ^= 0xFF
            file.write_bytes(changed)
            if dataset.digest(paths) != before:
                return True
    except UsageError:
        return True
    finally:
        file.write_bytes(content)
    return False


def shaped_by_test(component: Component) -> Observed:
    """Count splits among training and validation whose data change when the files of the training split take the place
    of those of the test split."""
    original, replaced = _with_files(component), _with_files(component)
    write = replaced.write_files
    assert write is not None
    replaced.write_files = lambda folder: _with_training_for_test(write(folder))
    try:
        before, after = original.arrays, replaced.arrays
    except UsageError as error:
        raise DoesNotApplyError("its training files cannot stand for its test files") from error
    changed: list[Split] = [
        split
        for split in ("train", "validation")
        if not all(
            torch.equal(a[before.splits[split]], b[after.splits[split]])
            for a, b in ((before.x, after.x), (before.target, after.target))
        )
    ]
    return Observed(len(changed), ", ".join(changed))


def _with_training_for_test(paths: Sequence[Path]) -> Sequence[Path]:
    """Copy each training file over the test file that has its name but for the split; return the paths."""
    by_name, replaced = {path.name.casefold(): path for path in paths}, False
    for name, path in by_name.items():
        for word in ("test", "t10k"):
            training = by_name.get(name.replace(word, "train"))
            if word in name and training is not None:
                shutil.copyfile(training, path)
                replaced = True
    if not replaced:
        raise DoesNotApplyError("no file of the test split alone")
    return paths
