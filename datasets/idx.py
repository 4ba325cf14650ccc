"""IDX, the file format of MNIST: two zero bytes, a type, the number of dimensions, the dimensions, the numbers."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from throughtime.errors import UsageError

UNSIGNED_BYTE = 0x08  # the only type in the MNIST family
MOST_DIMENSIONS = 32
"""Largest number of dimensions of an array in all versions of NumPy."""


def read_idx(content: bytes, path: Path) -> np.ndarray:
    """Return the array in the content of an IDX file of unsigned bytes, without copying it.

    Args:
        content: the uncompressed bytes of the file.
        path: the file, for error messages.

    Raises:
        UsageError: it is not an IDX file of unsigned bytes, or its length does not match its header.
    """
    if content[:3] != bytes([0, 0, UNSIGNED_BYTE])[: len(content)]:
        raise UsageError("not an IDX file of unsigned bytes", where=str(path))
    if len(content) > 3 and not 1 <= content[3] <= MOST_DIMENSIONS:
        raise UsageError(f"{content[3]} dimensions; an IDX file of images has 3", where=str(path))
    header = 4 + 4 * content[3] if len(content) > 3 else 4
    if len(content) < header:
        raise UsageError(f"truncated: {len(content)} bytes, less than an IDX header", where=str(path))
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) < expected:
        raise UsageError(f"truncated: {len(content)} of {expected} bytes", where=str(path))
    if len(content) > expected:
        raise UsageError(f"{len(content)} bytes, but its header declares {expected}", where=str(path))
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def write_idx(array: np.ndarray) -> bytes:
    """Return the content of an IDX file with `array`, of type uint8."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, UNSIGNED_BYTE, array.ndim, *array.shape) + array.tobytes()
