"""Digests of files, remembered while a file stays as it was: large ones are read once and not at every start."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from throughtime.whole_files import write_whole


def remembered(path: Path, kind: str, compute: Callable[[], str], folder: Path, again: bool = False) -> str:
    """Return `compute()`, or what it gave when the file or folder had the same place, sizes and times of change.

    Args:
        path: what the digest is of.
        kind: which digest of it.
        folder: where to remember; one that cannot be written remembers nothing.
        again: compute it in any case.
    """
    state = [str(path.resolve()), kind, _state(path)]
    note = folder / f"{hashlib.sha256(json.dumps(state[:2]).encode()).hexdigest()[:16]}.json"
    if not again:
        # What another process, or an older version, has left unreadable is computed anew.
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
        found = file.stat()
        digest.update(f"{file.relative_to(path)} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
