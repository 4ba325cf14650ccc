"""Prepared arrays on disk: built once from raw data, options and code, and then mapped into memory by all processes.

    <cache>/prepared/<name>-<key>/  x.npy, target.npy, an index for each split, key.json

The key covers everything on which the arrays depend: the raw data, the options that shape them, and the code that
builds them. The cache is therefore never out of date, and any folder may be removed by hand at any time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from throughtime.errors import UsageError

_report: ContextVar[Callable[[int, int], None]] = ContextVar("report", default=lambda done, count: None)


@contextmanager
def on_progress(report: Callable[[int, int], None]) -> Iterator[None]:
    """Context manager: `write_rows` calls `report(done, count)` after each array that it writes inside the block."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def prepared(cache: Path, name: str, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return the folder that `build` filled for this key; call `build` if the folder does not exist.

    One of several concurrent processes builds and the others wait. The build writes to a temporary folder, which is
    renamed when it is complete, so that a failed build leaves nothing behind.

    Args:
        cache: folder of the cache.
        name: readable part of the folder's name.
        key: everything on which the content depends, as JSON values.
        build: writes the files into an empty folder.

    Raises:
        UsageError: the cache cannot be written. Exceptions of `build` are passed on.
    """
    import filelock

    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    place = cache / "prepared" / f"{name}-{digest[:16]}"
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(place.with_name(f".{place.name}.lock")).acquire()
    except OSError as error:
        raise UsageError(
            f"the cache cannot be written: {error.strerror}",
            str(place.parent),
            "THROUGHTIME_CACHE names another folder",
        ) from error
    with held:
        if not place.is_dir():  # it may have been built while this process waited
            for left in place.parent.glob(f".{place.name}-*"):  # from a killed build: a running one holds the lock
                shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-"))
            try:
                build(folder)
                (folder / "key.json").write_text(json.dumps(key, sort_keys=True, indent=1))
                folder.chmod(0o755)  # mkdtemp gives access to the owner alone, but a cache may be shared
                folder.rename(place)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return place


def write_rows(path: Path, count: int, rows: Iterable[tuple[int, np.ndarray]], bits: bool = False) -> None:
    """Write arrays of one shape, one after the other, into a file that can be mapped: [count, *shape].

    Integers are stored in 8 bits until a value does not fit, and in more bits from then on; with `bits`, eight values
    along the last dimension are packed into a byte; floating-point numbers are stored in 32 bits.

    Args:
        path: path of the `.npy` file.
        count: number of arrays.
        rows: the position and the array of each row.
        bits: store only whether a number is above zero.
    """
    out: np.memmap | None = None
    report = _report.get()
    for done, (position, row) in enumerate(rows, 1):
        row = np.packbits(row > 0, axis=-1) if bits else row
        kind = _compact(row)
        if out is None:
            out = np.lib.format.open_memmap(path, "w+", kind, (count, *row.shape))
        elif np.promote_types(out.dtype, kind) != out.dtype:
            out = _widened(out, path, np.promote_types(out.dtype, kind))
        out[position] = row
        report(done, count)
    if out is not None:
        out.flush()


def unpacked(rows: np.ndarray, width: int) -> np.ndarray:
    """Undo `bits` of `write_rows`: [..., ceil(width / 8)] bytes to [..., width] zeros and ones."""
    return np.unpackbits(rows, axis=-1, count=width)


def _compact(row: np.ndarray) -> np.dtype:
    """Return the smallest of the storage types that holds a row."""
    if row.dtype.kind == "f":
        return np.dtype(np.float32)
    low, high = (int(row.min()), int(row.max())) if row.size else (0, 0)
    for kind in (np.uint8, np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    raise ValueError(f"numbers from {low} to {high} do not fit into 32 bits")


def _widened(old: np.memmap, path: Path, kind: np.dtype) -> np.memmap:
    """Rewrite the file with a wider type."""
    wide = path.with_name(f"wide-{path.name}")
    out = np.lib.format.open_memmap(wide, "w+", kind, old.shape)
    out[:] = old
    wide.replace(path)
    return out
