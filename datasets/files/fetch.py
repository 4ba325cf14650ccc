"""Files of datasets, from folders of the user, the cache, or the official mirrors; their content is always checked.

A file is searched for in the folders that `--source` and the environment variable THROUGHTIME_DATA name, then in the
cache (the system's folder for caches, or THROUGHTIME_CACHE), and is downloaded to the cache if it is in neither. The
first match is used; wrong content is an error and the search stops there, so that a file of the user is never silently
replaced. This module does not import torch.
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
    """The addresses of a download, and its checksum."""

    urls: list[str]
    """Mirrors, tried in this order."""
    checksum: str | None
    """Checksum of the downloaded file, as `md5:...` or `sha256:...`; None: unknown."""


@dataclass(frozen=True)
class DataFile:
    """A file of a dataset."""

    dataset: str
    """The dataset's name in the registry."""
    folder: str
    """Its folder in the cache, and possibly in a source."""
    name: str
    """Name of the downloaded file; if it ends in `.gz`, the unpacked file is accepted as well."""
    sha256: str | None
    """SHA-256 of the content, in hexadecimal: of the unpacked file, or of its members (`archive.digest`). None: only
    the checksum of the downloaded file is known."""
    origin: Callable[[], Origin] | None
    """Called only for a download, because it may import a slow library. None: the file cannot be downloaded."""
    inside: str | None = None
    """Pattern of the relevant members of an archive or a folder, as in `archive.members`."""
    also: tuple[str, ...] = ()
    """Other accepted names of the same content, such as a folder with the unpacked archive."""
    page: str = ""
    """Web page of the file, for error messages."""


class Presence(NamedTuple):
    """Whether a file is present and valid: a line of `throughtime data ls` and `verify`."""

    file: DataFile
    path: Path | None
    """None: neither in a source nor in the cache."""
    problem: str | None
    """The fault of the file; None if it has none or was not checked."""


def add_source(*folders: str | Path) -> None:
    """Search for data in these folders first, in this order.

    The folders are prepended to THROUGHTIME_DATA in the environment, which the processes of runs inherit.

    Raises:
        UsageError: a folder does not exist.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise UsageError("no such folder", where=str(folder))
    named = [str(Path(folder).resolve()) for folder in folders]
    os.environ[DATA] = os.pathsep.join([*named, *(str(folder) for folder in sources() if str(folder) not in named)])


def sources() -> list[Path]:
    """Return the folders that the user named, in order."""
    return [Path(folder).expanduser() for folder in os.environ.get(DATA, "").split(os.pathsep) if folder]


def cache() -> Path:
    """Return the folder of downloads, which may not exist yet."""
    import pooch

    return Path(os.environ.get(CACHE) or pooch.os_cache("throughtime")).expanduser()


def find(file: DataFile) -> Path | None:
    """Return the path of a file in the sources or the cache, unchecked; None if it is in neither.

    In a folder D, a file of MNIST may be in D/MNIST/raw (as in torchvision), D/MNIST, D/raw or D.
    """
    names = dict.fromkeys(
        [file.name.removesuffix(".gz"), file.name, *file.also]
    )  # the unpacked file first, which is faster to read
    for folder in [*sources(), cache()]:
        for place in (f"{file.folder}/raw", file.folder, "raw", "."):
            for name in names:
                path = folder / place / name
                if path.is_file() or (file.inside and path.is_dir()):
                    return path
    return None


def obtain(file: DataFile) -> Path:
    """Return the path of a file, unchecked; download it if it is not found.

    Raises:
        UsageError: it is not found and cannot be downloaded.
    """
    return find(file) or fetch(file)


def obtained(file: DataFile) -> Path:
    """Return the path of a file with checked content; a checked file is not read again while it is unchanged.

    Raises:
        UsageError: it is not found and cannot be downloaded, or has the wrong content.
    """
    path = obtain(file)
    content_digest(file, path)
    return path


def fetch(file: DataFile) -> Path:
    """Return the path of a file in the cache; download it unless it is there with the right checksum.

    Raises:
        UsageError: no mirror returned a file with that checksum, or the cache cannot be written.
    """
    import filelock
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it logs each attempt; here one error reports them all
    urls, checksum = file.origin() if file.origin else Origin([], None)
    folder = cache() / file.folder
    reasons = [] if urls else ["there is no address to download it from"]
    for url in urls:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(
                folder / f"{file.name}.lock"
            ):  # concurrent processes would write to one partial file
                path = Path(pooch.retrieve(url, checksum, file.name, folder, downloader=downloader()))
                if checksum is None:
                    _keep_if_right(file, path)
                return path
        except (OSError, ValueError, UsageError) as error:
            reasons.append(_reason(error))
    searched = ", ".join(str(place) for place in [*sources(), cache()])
    raise UsageError(
        f"{file.dataset}: {file.name} is not here, and cannot be downloaded ({', '.join(dict.fromkeys(reasons))})",
        hint=f"looked in {searched}; name a folder that has it with --source DIR or {DATA}, "
        f"or get it where there is a network: `throughtime data fetch {file.dataset}`"
        + (f"; or by hand from {file.page} into {folder}" if file.page else ""),
    )


def _keep_if_right(file: DataFile, path: Path) -> None:
    """Remove a download with wrong content, which pooch cannot recognise, so that the next attempt asks again."""
    try:
        content_digest(file, path)
    except UsageError:
        path.unlink()
        raise


def downloader() -> Any:
    """Return the downloader for pooch."""
    return download.Resumable()


def content_digest(file: DataFile, path: Path, again: bool = False) -> str:
    """Check the content of a file against its known checksum, and return its SHA-256.

    Args:
        again: read the file even if its digest is cached and its size and modification time are unchanged.

    Raises:
        UsageError: the content is wrong or cannot be read.
    """
    digest = remembered([path], file.inside or "file", lambda: content_sha256(file, path), cache() / "digests", again)
    if file.sha256 is not None:
        _compare(file, path, "SHA-256", digest, file.sha256)
    elif path.name == file.name and file.origin and (checksum := file.origin().checksum):
        kind, _, expected = checksum.partition(":")
        packed = remembered([path], kind, lambda: file_digest(path, kind), cache() / "digests", again)
        _compare(file, path, kind.upper(), packed, expected)
    return digest


def content_sha256(file: DataFile, path: Path) -> str:
    """Return the SHA-256 of the content of a file, as in `DataFile.sha256`; UsageError if it cannot be read."""
    if file.inside:
        return archive.digest(path, file.inside)
    digest = hashlib.sha256()
    with archive.single(path) as stream:
        while chunk := stream.read(archive.CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_digest(path: Path, kind: str) -> str:
    """Return the digest of the bytes of a file, in hexadecimal; `kind` is a name of `hashlib`."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(archive.CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def report(files: Iterable[DataFile], check: bool = False) -> list[Presence]:
    """Return whether each file is present and, if `check`, whether its content is right; download nothing."""
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


def _compare(file: DataFile, path: Path, kind: str, actual: str, expected: str) -> None:
    if actual != expected:
        raise UsageError(
            f"wrong checksum: {kind} {actual} instead of {expected}",
            where=str(path),
            hint=f"not the {file.folder} file of that name, or altered: remove it, "
            f"then `throughtime data fetch {file.dataset}`",
        )


def _reason(error: Exception) -> str:
    """Return a short form of an exception of the downloader, whose message is a paragraph."""
    import requests

    if isinstance(error, UsageError):
        return f"the file of the mirror: {error.what}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke: the next attempt resumes there"
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "the file of the mirror has a wrong checksum"
    if isinstance(error, PermissionError):  # pooch's has no strerror
        return f"the cache cannot be written, {CACHE} names another"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    response = getattr(error, "response", None)
    return f"HTTP {response.status_code}" if response is not None else "no connection"
