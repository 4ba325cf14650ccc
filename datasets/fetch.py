"""Where a dataset's files come from: a folder the user names, the cache, or the official mirrors; always checked.

A file is looked for in the folders that `--source` and the environment variable THROUGHTIME_DATA name, then in the
cache (the system's own place for one, or THROUGHTIME_CACHE), and is downloaded to the cache if it is in neither. What
is found first is used; if its content is not what it should be, that is an error, and no other place is tried: a file
that the user named is never quietly replaced. Nothing here imports torch.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.errors import UsageError

DATA, CACHE = "THROUGHTIME_DATA", "THROUGHTIME_CACHE"
CONNECT_TIMEOUT, READ_TIMEOUT = 3.0, 30.0  # seconds; offline must be told soon, a slow mirror may take its time


class Origin(NamedTuple):
    """Where a file can be downloaded."""

    urls: list[str]
    """Mirrors, tried in this order."""
    checksum: str
    """Of the file as downloaded, written `md5:...` or `sha256:...`."""


@dataclass(frozen=True)
class DataFile:
    """One file that a dataset is made of."""

    dataset: str
    """The dataset's name in the registry."""
    folder: str
    """Where it lies in the cache, and may lie in a source."""
    name: str
    """As downloaded; where it ends in `.gz` the unpacked file will do as well."""
    md5: str
    """MD5 of the unpacked content, in hexadecimal."""
    origin: Callable[[], Origin]
    """Asked only when the file must be downloaded: the answer may take an import of seconds."""


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
    names = dict.fromkeys([file.name.removesuffix(".gz"), file.name])  # unpacked first: it is read faster
    for folder in [*sources(), cache()]:
        for place in (f"{file.folder}/raw", file.folder, "raw", "."):
            for name in names:
                if (folder / place / name).is_file():
                    return folder / place / name
    return None


def obtain(file: DataFile) -> Path:
    """Return the file's path, unchecked, downloading it if it is not here.

    Raises:
        UsageError: it is not here and cannot be downloaded.
    """
    return find(file) or download(file)


def download(file: DataFile) -> Path:
    """Return the file's path in the cache, downloading it unless it is there with the right checksum.

    Raises:
        UsageError: no mirror gave a file with that checksum, or the cache cannot be written.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it tells of each attempt; here one error tells of all
    urls, checksum = file.origin()
    folder = cache() / file.folder
    reasons = []
    for url in urls:
        try:
            return Path(pooch.retrieve(url, checksum, file.name, folder, downloader=downloader()))
        except (OSError, ValueError) as error:
            reasons.append(_reason(error))
    searched = ", ".join(str(place) for place in [*sources(), cache()])
    raise UsageError(
        f"{file.dataset}: {file.name} is not here, and cannot be downloaded ({', '.join(dict.fromkeys(reasons))})",
        hint=f"looked in {searched}; name a folder that has it with --source DIR or {DATA}, "
        f"or get it where there is a network: `throughtime data fetch {file.dataset}`",
    )


def downloader() -> Any:
    """What pooch downloads with."""
    import pooch

    return pooch.HTTPDownloader(timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), chunk_size=1 << 16)


def unpacked(path: Path) -> bytes:
    """Return the content of a file, gzipped or not.

    Raises:
        UsageError: the file cannot be read, is truncated or damaged.
    """
    try:
        content = path.read_bytes()
        # By its first two bytes rather than its name: browsers unpack a download and leave the `.gz`.
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except EOFError as error:
        raise UsageError("truncated: the gzip stream has no end", where=str(path)) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UsageError("damaged: the gzip checksum or stream is wrong", where=str(path)) from error
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error


def verify(file: DataFile, path: Path, content: bytes) -> None:
    """Raise UsageError unless `content`, unpacked from `path`, is the known one."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != file.md5:
        raise UsageError(
            f"wrong checksum: MD5 {found} instead of {file.md5}",
            where=str(path),
            hint=f"not the {file.folder} file of that name, or altered: remove it, "
            f"then `throughtime data fetch {file.dataset}`",
        )


def report(files: Iterable[DataFile], check: bool = False) -> list[Presence]:
    """Say of each file whether it is here and, if `check`, whether its content is right. Downloads nothing."""
    lines = []
    for file in files:
        path, problem = find(file), None
        if path is not None and check:
            try:
                verify(file, path, unpacked(path))
            except UsageError as error:
                problem = error.what
        lines.append(Presence(file, path, problem))
    return lines


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
