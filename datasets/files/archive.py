"""Readers of zip archives, tar archives and folders, without unpacking to disk; and of single files, packed or not.

A pattern of path parts, such as `Train/*/*.bin`, selects members by as many last parts of their names, so that the same
data are found below any folder. `|` separates alternatives: `Main/*.txt|Annotations/*.xml`.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import Any, Protocol

from throughtime.errors import UsageError, first_line

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
CHUNK = 1 << 20
MEMBER_BYTES = 1 << 29
"""Largest size of a member or a header that is read into memory; members of the known datasets are much smaller."""
NESTED_BYTES = 1 << 32
"""Largest size of an archive within an archive, which is copied to disk."""
DAMAGES = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, UnicodeDecodeError)
"""Exceptions for a damaged archive; the last one for the name of a member."""
TOO_LARGE = "the archive may be malicious and is not read further"


class Readable(Protocol):
    """A binary stream that is read from its start to its end."""

    def read(self, size: int = ..., /) -> bytes: ...


def members(path: Path, pattern: str) -> list[str]:
    """Return the members that match, sorted, each named by its last parts; includes members of nested archives.

    Args:
        path: a zip or tar archive, or a folder, whose own name counts as the first part of the names of its members.
        pattern: path parts, in which `*` matches any characters within a part.

    Raises:
        UsageError: it is not an archive, or is damaged; a name leads out of it; no member matches, or two have the same
            name.
    """
    return _listed([key for name in _names(path) if (key := _key(name, pattern))], path, pattern)


def read(path: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each member that `members` lists, in the order of storage.

    Raises:
        UsageError: a member is truncated or damaged, or has more than MEMBER_BYTES.
    """
    for name, stream in _streams(path):
        if key := _key(name, pattern):
            with _as_usage_error(path):
                content = stream.read(MEMBER_BYTES + 1)
            if len(content) > MEMBER_BYTES:
                raise UsageError(f"{name} has more than {MEMBER_BYTES >> 20} MiB", str(path), TOO_LARGE)
            yield key, content


def digest(path: Path, pattern: str) -> str:
    """Return the SHA-256 of the lines `<SHA-256 of the content>  <name>` of the members, in the order of `members`.

    The digest depends on the data, and not on whether and how they are packed.
    """
    pairs = [(name, hashlib.sha256(content).hexdigest()) for name, content in read(path, pattern)]
    digests = dict(pairs)
    names = _listed([name for name, _ in pairs], path, pattern)
    return hashlib.sha256("".join(f"{digests[name]}  {name}\n" for name in names).encode()).hexdigest()


@contextmanager
def single(path: Path) -> Iterator[Readable]:
    """Open a file, and decompress it if it is gzipped or a zip archive with one member.

    Raises:
        UsageError: it cannot be read, is truncated or damaged, or is an archive of several files.
    """
    with _as_usage_error(path), path.open("rb") as raw:
        # The first bytes decide, not the name: browsers decompress a download and keep the suffix `.gz`.
        start = raw.read(4)
        raw.seek(0)
        if start[:2] == b"\x1f\x8b":
            with gzip.open(raw) as stream:
                yield stream
        elif start == b"PK\x03\x04":
            with zipfile.ZipFile(raw) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                if len(names) != 1:
                    raise UsageError(f"an archive of {len(names)} files; expected one", where=str(path))
                with archive.open(names[0]) as stream:
                    yield stream
        else:
            yield raw


def unpack(path: Path, to: Path) -> Path:
    """Write the content of a packed file to `to` and return `to`; return `path` if the file is not packed."""
    with path.open("rb") as raw:
        packed = raw.read(4)
    if packed[:2] != b"\x1f\x8b" and packed != b"PK\x03\x04":
        return path
    with single(path) as stream, to.open("wb") as out:
        shutil.copyfileobj(stream, out, CHUNK)
    return to


def _key(name: str, pattern: str) -> str:
    """Return the last parts of a name if they match the pattern, else an empty string."""
    parts = PurePosixPath(name).parts
    for wanted in (alternative.split("/") for alternative in pattern.split("|")):
        last = parts[-len(wanted) :]
        if len(last) == len(wanted) and all(map(fnmatchcase, last, wanted)) and "__MACOSX" not in parts:
            return "/".join(last)
    return ""


def _listed(names: list[str], path: Path, pattern: str) -> list[str]:
    if not names:
        raise UsageError(f"holds no {pattern}", where=str(path))
    names = sorted(names)
    if twice := [name for name, other in pairwise(names) if name == other]:
        raise UsageError(f"holds {twice[0]} twice", where=str(path))
    return names


def _names(path: Path) -> Iterator[str]:
    if path.is_dir():
        yield from (name for name, _ in _folder(path))
        return
    with _as_usage_error(path):
        if path.name.endswith(TARS):
            with _tar(path) as archive:
                names = [member.name for member in archive if member.isfile()]
            yield from _safe(names, path)
        else:
            with zipfile.ZipFile(path) as archive:
                yield from _zip_names(archive, path)


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar archive, packed or not. A header in it with more than MEMBER_BYTES raises an error: tarfile would read
    it into memory."""
    with path.open("rb") as raw:
        start = raw.read(6)
    openers: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    with openers.get(start[:2], Path.open)(path, "rb") as stream:
        bounded: Any = _Bounded(stream)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            yield archive


class _Bounded:
    """A binary stream that refuses to read much more than MEMBER_BYTES at a time."""

    def __init__(self, stream: Any) -> None:
        self.tell, self.seek, self._stream = stream.tell, stream.seek, stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MEMBER_BYTES + CHUNK:
            raise tarfile.ReadError(f"a header of more than {MEMBER_BYTES >> 20} MiB")
        return self._stream.read(size)


def _zip_names(archive: zipfile.ZipFile, path: Path) -> Iterator[str]:
    for name in _zip_members(archive, path):
        if name.endswith(".zip"):
            with _nested(archive, name, path) as inner:
                yield from (f"{name.removesuffix('.zip')}/{member}" for member in _zip_names(inner, path))
        else:
            yield name


def _streams(path: Path) -> Iterator[tuple[str, Readable]]:
    """Yield the name and the opened content of each member."""
    if path.is_dir():
        for name, file in _folder(path):
            with _as_usage_error(file), file.open("rb") as stream:
                yield name, stream
        return
    with _as_usage_error(path):
        if path.name.endswith(TARS):
            with _tar(path) as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isfile() else None
                    if content is not None:
                        _safe([member.name], path)
                        yield member.name, content
        else:
            with zipfile.ZipFile(path) as archive:
                yield from _zip_streams(archive, path)


def _zip_members(archive: zipfile.ZipFile, path: Path) -> Sequence[str]:
    if any(archive.filelist) and min(member.header_offset for member in archive.filelist):
        raise zipfile.BadZipFile("only the end of it is an archive")  # one that is nested in a truncated archive
    return _safe([name for name in archive.namelist() if not name.endswith("/")], path)


def _zip_streams(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, Readable]]:
    for name in _zip_members(archive, path):
        if name.endswith(".zip"):
            with _nested(archive, name, path) as inner:
                yield from ((f"{name.removesuffix('.zip')}/{n}", stream) for n, stream in _zip_streams(inner, path))
        else:
            with archive.open(name) as stream:
                yield name, stream


@contextmanager
def _nested(archive: zipfile.ZipFile, name: str, path: Path) -> Iterator[zipfile.ZipFile]:
    if not isinstance(archive.filename, str):  # it is nested itself: without a limit, an archive may contain itself
        raise UsageError(f"{name} is nested too deeply", str(path), TOO_LARGE)
    if archive.getinfo(name).file_size > NESTED_BYTES:
        raise UsageError(f"{name} has more than {NESTED_BYTES >> 30} GiB", str(path), TOO_LARGE)
    # On disk and not in memory: the nested archives of CIFAR10-DVS hold hundreds of megabytes each.
    with TemporaryFile() as copy:
        with archive.open(name) as stream:
            shutil.copyfileobj(stream, copy, CHUNK)
        with zipfile.ZipFile(copy) as inner:
            yield inner


def _folder(path: Path) -> list[tuple[str, Path]]:
    """Return the names and paths of all files below a folder, sorted; archives among them are not opened."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return [(file.relative_to(path.parent).as_posix(), file) for file in files]


def _safe(names: Sequence[str], path: Path) -> Sequence[str]:
    """Return the names unchanged; UsageError if one leads out of the archive, which may be malicious."""
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise UsageError(
                f"a member leads out of the archive: {name}",
                where=str(path),
                hint="the archive may be malicious and is not read",
            )
    return names


@contextmanager
def _as_usage_error(path: Path) -> Iterator[None]:
    """Convert exceptions of readers into a UsageError that names the file."""
    try:
        yield
    except EOFError as error:
        raise UsageError("truncated: the compressed stream has no end", where=str(path)) from error
    except (NotImplementedError, RuntimeError) as error:  # zip: an unsupported method, or a password
        raise UsageError(f"an archive that cannot be read: {first_line(error)}", where=str(path)) from error
    except DAMAGES as error:
        raise UsageError(f"damaged or truncated archive: {first_line(error)}", where=str(path)) from error
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or first_line(error)}", where=str(path)) from error
