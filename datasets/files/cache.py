"""Prepared arrays on disk: made once from raw data, options and code, then mapped into memory by all who use them.

    <cache>/prepared/<name>-<key>/  x.npy, target.npy, an index a split, about.json

The key is of what the arrays depend on: the raw data, the options that shape them, and the code that makes them. So
nothing in the cache is ever out of date; what is not used any more may be removed by hand at any time.
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

_tell: ContextVar[Callable[[int, int], None]] = ContextVar("tell", default=lambda done, count: None)


@contextmanager
def on_progress(tell: Callable[[int, int], None]) -> Iterator[None]:
    """Context manager: `write_rows` calls `tell(done, count)` after each array that it writes inside the block."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


def prepared(cache: Path, name: str, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return the folder that `build` filled for this key, calling it if nobody has.

    Of processes that ask at once one builds and the others wait. It builds into a folder of its own that gets its name
    when all is written: what is seen is whole, and a build that fails leaves nothing.

    Args:
        cache: the cache's folder.
        name: for people who look into it.
        key: what the content depends on, as JSON can hold it.
        build: writes the files into the empty folder given.

    Raises:
        UsageError: the cache cannot be written; whatever `build` raises.
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
            for left in place.parent.glob(f".{place.name}-*"):  # by a build that was killed: who builds holds the lock
                shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-"))
            try:
                build(folder)
                (folder / "key.json").write_text(json.dumps(key, sort_keys=True, indent=1))
                folder.chmod(0o755)  # mkdtemp's are for its owner alone; a cache may be shared
                folder.rename(place)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return place


def write_rows(path: Path, count: int, rows: Iterable[tuple[int, np.ndarray]], bits: bool = False) -> None:
    """Write arrays of one shape, one after the other, into a file that can be mapped: [count, *shape].

    Whole numbers are stored in 8 bits until one does not fit, and in 16 from then on; zeros and ones in one bit if
    `bits`, eight along the last dimension to a byte; real numbers in 32 bits.

    Args:
        path: of the `.npy` file.
        count: how many there are.
        rows: the position of each, and the array.
        bits: store only whether a number is above zero.
    """
    out: np.memmap | None = None
    tell = _tell.get()
    for done, (position, row) in enumerate(rows, 1):
        row = np.packbits(row > 0, axis=-1) if bits else row
        kind = _compact(row)
        if out is None:
            out = np.lib.format.open_memmap(path, "w+", kind, (count, *row.shape))
        elif np.promote_types(out.dtype, kind) != out.dtype:
            out = _widened(out, path, np.promote_types(out.dtype, kind))
        out[position] = row
        tell(done, count)
    if out is not None:
        out.flush()


def unpacked(rows: np.ndarray, width: int) -> np.ndarray:
    """Undo `bits` of `write_rows`: [..., ceil(width / 8)] bytes to [..., width] zeros and ones."""
    return np.unpackbits(rows, axis=-1, count=width)


def _compact(row: np.ndarray) -> np.dtype:
    """The smallest of the types that are used to store it."""
    if row.dtype.kind == "f":
        return np.dtype(np.float32)
    low, high = (int(row.min()), int(row.max())) if row.size else (0, 0)
    for kind in (np.uint8, np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    raise ValueError(f"numbers from {low} to {high} do not fit into 32 bits")


def _widened(old: np.memmap, path: Path, kind: np.dtype) -> np.memmap:
    """The same file with more bits a number."""
    wide = path.with_name(f"wide-{path.name}")
    out = np.lib.format.open_memmap(wide, "w+", kind, old.shape)
    out[:] = old
    wide.replace(path)
    return out
