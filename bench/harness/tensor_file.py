"""Files of tensors (checkpoints and weights): how they are written, and the only function that reads them.

A file is a zip archive of plain values and tensors. torch would also load its older formats, in which pickled code has
run despite `weights_only` (CVE-2025-32434); no other function of the package calls `torch.load`.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import torch


class DamagedError(Exception):
    """A file is not a complete archive of plain values and tensors; the message gives the fault."""


def packed(contents: dict[str, Any]) -> bytes:
    """Serialise a dict of plain values and tensors."""
    file = io.BytesIO()
    torch.save(contents, file)
    return file.getvalue()


def unpacked(data: bytes) -> dict[str, Any]:
    """Deserialise a dict of plain values and tensors without running code from it.

    Memory: at most a few times the length of `data`, because a compressed archive is refused.

    Raises:
        DamagedError: the bytes are truncated, changed, of another format, or contain more than plain values.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise DamagedError("a compressed archive, which torch does not write")
            if broken := archive.testzip():  # torch verifies no checksum
                raise DamagedError(f"{broken} has a wrong checksum")
        contents = torch.load(io.BytesIO(data), weights_only=True)
    except DamagedError:
        raise
    except Exception as error:
        # Without torch's message, which advises to load the file with weights_only=False.
        raise DamagedError(f"not a complete file of tensors and plain values ({type(error).__name__})") from error
    if not isinstance(contents, dict):
        raise DamagedError("not a dict of tensors and plain values")
    return contents
