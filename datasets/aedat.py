"""AEDAT4 recordings, decoded in a process of their own.

The decoder is a native library. On a damaged file it raises, panics, or ends the process that it runs in. In a process
that may end, each of these becomes an error that names the file.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tempfile
from typing import IO

import numpy as np

from throughtime.errors import UsageError, first_line

LENGTH = struct.Struct("<?Q")
"""Before each message: whether it is the result of a success, and its number of bytes."""


class AedatReader:
    """Decodes recordings, one after the other, in one process; it starts with the first, and again after a crash.

    A context manager: at its exit the process ends.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> AedatReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate()  # the end of its input ends it
            self._process = None

    def events(self, content: bytes, where: str) -> np.ndarray:
        """Return the events of a recording: a structured array with t in microseconds, x, y and the polarity.

        Args:
            content: of the file.
            where: its place, for messages.

        Raises:
            UsageError: the file is not AEDAT4, or damaged.
        """
        if self._process is None:
            words = [sys.executable, "-m", __name__]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert self._process.stdin is not None and self._process.stdout is not None  # both are pipes
        try:
            _send(self._process.stdin, True, content)
            whole, answer = _receive(self._process.stdout)
        except (EOFError, BrokenPipeError):
            self._process.kill()
            self._process.communicate()
            self._process = None
            whole, answer = False, b"the decoder crashed"
        if not whole:
            raise UsageError(f"not an AEDAT4 file, or truncated: {answer.decode()}", where=where)
        return np.load(io.BytesIO(answer), allow_pickle=False)


def _send(stream: IO[bytes], whole: bool, content: bytes) -> None:
    stream.write(LENGTH.pack(whole, len(content)) + content)
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[bool, bytes]:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    whole, length = LENGTH.unpack(head)
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return whole, content


def main() -> None:
    """Decode what comes on the standard input until it ends, and write events or an error to the standard output."""
    from tonic.io import read_aedat4

    while True:
        try:
            _, content = _receive(sys.stdin.buffer)
        except EOFError:
            return
        out = io.BytesIO()
        try:
            with tempfile.NamedTemporaryFile(suffix=".aedat4") as file:  # the decoder reads nothing but files
                file.write(content)
                file.flush()
                np.save(out, read_aedat4(file.name))
        except BaseException as error:  # a panic of the decoder is no Exception
            _send(sys.stdout.buffer, False, (first_line(error) or type(error).__name__).encode())
        else:
            _send(sys.stdout.buffer, True, out.getvalue())


if __name__ == "__main__":
    main()
