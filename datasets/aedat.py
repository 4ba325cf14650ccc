"""Decoding of AEDAT4 recordings in a separate process.

The decoder is a native library. On a damaged file it raises an exception, panics, or ends its process. In a separate
process, each of these becomes an error that names the file.
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
"""Header of each message: whether decoding succeeded, and the number of bytes of the message."""


class AedatReader:
    """Decodes recordings one after the other in one process, which starts with the first one and again after a crash.

    It is a context manager; the process ends at its exit.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> AedatReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate()  # closes its input, which ends the process
            self._process = None

    def events(self, content: bytes, where: str) -> np.ndarray:
        """Return the events of a recording: a structured array with t in microseconds, x, y and the polarity.

        Args:
            content: the bytes of the file.
            where: the path of the file, for error messages.

        Raises:
            UsageError: the file is not an AEDAT4 file or is damaged.
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


def decoded(path: str) -> np.ndarray:
    """Return the events of the first stream of events in a file."""
    import aedat

    decoder = aedat.Decoder(path)
    streams = [number for number, stream in decoder.id_to_stream().items() if stream["type"] == "events"]
    if not streams:
        raise ValueError("there are no events in the file")
    return np.concatenate([packet["events"] for packet in decoder if packet["stream_id"] == min(streams)])


def main() -> None:
    """Decode the files on the standard input until it ends; write events or an error to the standard output."""
    while True:
        try:
            _, content = _receive(sys.stdin.buffer)
        except EOFError:
            return
        out = io.BytesIO()
        try:
            with tempfile.NamedTemporaryFile(suffix=".aedat4") as file:  # the decoder only reads files
                file.write(content)
                file.flush()
                np.save(out, decoded(file.name))
        except BaseException as error:  # a panic of the decoder is not an Exception
            _send(sys.stdout.buffer, False, (first_line(error) or type(error).__name__).encode())
        else:
            _send(sys.stdout.buffer, True, out.getvalue())


if __name__ == "__main__":
    main()
