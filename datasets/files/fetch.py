"""Where a dataset's files come from: a folder the user names, the cache, or the official mirrors; always checked.

A file is looked for in the folders that `--source` and the environment variable THROUGHTIME_DATA name, then in the
cache (the system's own place for one, or THROUGHTIME_CACHE), and is downloaded to the cache if it is in neither. What
is found first is used; if its content is not what it should be, that is an error, and no other place is tried: a file
that the user named is never quietly replaced. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.datasets.files import archive, download
from throughtime.datasets.files.remember import remembered
from throughtime.errors import UsageError

DATA, CACHE = "THROUGHTIME_DATA", "THROUGHTIME_CACHE"


class Origin(NamedTuple):
    """Where a file can be downloaded."""

    urls: list[str]
    """Mirrors, tried in this order."""
    checksum: str | None
    """Of the file as downloaded, written `md5:...` or `sha256:...`; None: nothing is known of it."""


@dataclass(frozen=True)
class DataFile:
    """One file that a dataset is made of."""

    dataset: str
    """The dataset's name in the registry."""
    folder: str
    """Where it lies in the cache, and may lie in a source."""
    name: str
    """As downloaded; where it ends in `.gz` the unpacked file will do as well."""
    sha256: str | None
    """SHA-256 of the content, in hexadecimal: of the unpacked file, or of what is in it (`archive.digest`). None: only
    the checksum of the file as downloaded is known."""
    origin: Callable[[], Origin] | None
    """Asked only when the file must be downloaded: the answer may take an import of seconds. None: it cannot be."""
    inside: str | None = None
    """Which members of it count, if it is an archive or a folder: a pattern as in `archive.members`."""
    also: tuple[str, ...] = ()
    """Other names under which the same content will do: a folder it was unpacked to."""
    page: str = ""
    """Where a person finds it."""


class Presence(NamedTuple):
    """Whether a file is here, and in order: a line of `throughtime data ls` and `verify`."""

    file: DataFile
    path: Path | None
    """None: neither in a source nor in the cache."""
    problem: str | None
    """What is wrong with it; None where nothing is, or nothing was checked."""


def add_source(*folders: str | Path) -> None:
    """Look for data in these folders first, in this order.

    They are put before those of THROUGHTIME_DATA, in the environment, because the processes that runs are made in
    inherit that and nothing else.

    Raises:
        UsageError: there is no such folder.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise UsageError("no such folder", where=str(folder))
    named = [str(Path(folder).resolve()) for folder in folders]
    os.environ[DATA] = os.pathsep.join([*named, *(str(folder) for folder in sources() if str(folder) not in named)])


def sources() -> list[Path]:
    """The folders that the user named, first to last."""
    return [Path(folder).expanduser() for folder in os.environ.get(DATA, "").split(os.pathsep) if folder]


def cache() -> Path:
    """The folder that downloads go to. It need not exist."""
    import pooch

    return Path(os.environ.get(CACHE) or pooch.os_cache("throughtime")).expanduser()


def find(file: DataFile) -> Path | None:
    """Return the file's path in the sources or the cache, unchecked; None if it is in neither.

    In a folder D named MNIST it may lie in D/MNIST/raw (as torchvision keeps it), D/MNIST, D/raw or D.
    """
    names = dict.fromkeys([file.name.removesuffix(".gz"), file.name, *file.also])  # unpacked first: it is read faster
    for folder in [*sources(), cache()]:
        for place in (f"{file.folder}/raw", file.folder, "raw", "."):
            for name in names:
                path = folder / place / name
                if path.is_file() or (file.inside and path.is_dir()):
                    return path
    return None


def obtain(file: DataFile) -> Path:
    """Return the file's path, unchecked, downloading it if it is not here.

    Raises:
        UsageError: it is not here and cannot be downloaded.
    """
    return find(file) or fetch(file)


def obtained(file: DataFile) -> Path:
    """Return the file's path, its content checked; what was checked once is not read again while it stays the same.

    Raises:
        UsageError: it is not here and cannot be downloaded, or is not what it should be.
    """
    path = obtain(file)
    content_digest(file, path)
    return path


def fetch(file: DataFile) -> Path:
    """Return the file's path in the cache, downloading it unless it is there with the right checksum.

    Raises:
        UsageError: no mirror gave a file with that checksum, or the cache cannot be written.
    """
    import filelock
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it tells of each attempt; here one error tells of all
    urls, checksum = file.origin() if file.origin else Origin([], None)
    folder = cache() / file.folder
    reasons = [] if urls else ["there is no address to download it from"]
    for url in urls:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / f"{file.name}.lock"):  # two at once would write into one partial file
                return Path(pooch.retrieve(url, checksum, file.name, folder, downloader=downloader()))
        except (OSError, ValueError) as error:
            reasons.append(_reason(error))
    searched = ", ".join(str(place) for place in [*sources(), cache()])
    raise UsageError(
        f"{file.dataset}: {file.name} is not here, and cannot be downloaded ({', '.join(dict.fromkeys(reasons))})",
        hint=f"looked in {searched}; name a folder that has it with --source DIR or {DATA}, "
        f"or get it where there is a network: `throughtime data fetch {file.dataset}`"
        + (f"; or by hand from {file.page} into {folder}" if file.page else ""),
    )


def downloader() -> Any:
    """What pooch downloads with."""
    return download.Resumable()


def content_digest(file: DataFile, path: Path, again: bool = False) -> str:
    """Return the SHA-256 of a file's content, having checked it against what is known of it.

    Args:
        again: read it even if it is known and has not changed since, by size and time.

    Raises:
        UsageError: it is not what it should be, or cannot be read; nothing of it is used then.
    """
    found = remembered(path, file.inside or "file", lambda: content_sha256(file, path), cache() / "digests", again)
    if file.sha256 is not None:
        _compare(file, path, "SHA-256", found, file.sha256)
    elif path.name == file.name and file.origin and (checksum := file.origin().checksum):
        kind, _, expected = checksum.partition(":")
        packed = remembered(path, kind, lambda: file_digest(path, kind), cache() / "digests", again)
        _compare(file, path, kind.upper(), packed, expected)
    return found


def content_sha256(file: DataFile, path: Path) -> str:
    """SHA-256 of what is in a file, in the form that `DataFile.sha256` has; UsageError if it cannot be read."""
    if file.inside:
        return archive.digest(path, file.inside)
    digest = hashlib.sha256()
    with archive.single(path) as stream:
        while chunk := stream.read(archive.CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_digest(path: Path, kind: str) -> str:
    """Digest of the bytes of a file as it lies there, in hexadecimal; `kind` as `hashlib` names it."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(archive.CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def report(files: Iterable[DataFile], check: bool = False) -> list[Presence]:
    """Say of each file whether it is here and, if `check`, whether its content is right. Downloads nothing."""
    lines = []
    for file in files:
        path, problem = find(file), None
        if path is not None and check:
            try:
                content_digest(file, path, again=True)
            except UsageError as error:
                problem = error.what
        lines.append(Presence(file, path, problem))
    return lines


def _compare(file: DataFile, path: Path, kind: str, found: str, expected: str) -> None:
    if found != expected:
        raise UsageError(
            f"wrong checksum: {kind} {found} instead of {expected}",
            where=str(path),
            hint=f"not the {file.folder} file of that name, or altered: remove it, "
            f"then `throughtime data fetch {file.dataset}`",
        )


def _reason(error: Exception) -> str:
    """A few words for what the downloader raised; its own are a paragraph."""
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "the mirror's file has a wrong checksum"
    if isinstance(error, PermissionError):  # pooch's has no strerror
        return f"the cache cannot be written, {CACHE} names another"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    response = getattr(error, "response", None)
    return f"HTTP {response.status_code}" if response is not None else "no connection"
