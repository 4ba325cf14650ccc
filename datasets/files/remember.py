"""A cache of file digests, so that large files are read once and not at every start."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from throughtime.whole_files import write_whole


def remembered(paths: Sequence[Path], kind: str, compute: Callable[[], str], folder: Path, again: bool = False) -> str:
    """Return `compute()`, or its earlier result for the same paths, sizes and modification times.

    Args:
        paths: files or folders of the digest.
        kind: name of the digest.
        folder: folder of the cache; without write access, nothing is cached.
        again: compute the digest in any case.
    """
    state = [[str(path.resolve()) for path in paths], kind, [_state(path) for path in paths]]
    note = folder / f"{hashlib.sha256(json.dumps(state[:2]).encode()).hexdigest()[:16]}.json"
    if not again:
        # A digest whose note is unreadable, for instance from an older version, is computed again.
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(note.read_text())
            if known["state"] == state:
                return known["digest"]
    digest = compute()
    with contextlib.suppress(OSError):
        write_whole(note, json.dumps({"state": state, "digest": digest}), lasting=False)
    return digest


def _state(path: Path) -> str:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.relative_to(path)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
