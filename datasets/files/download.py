"""Resumable downloads: received bytes stay in a partial file, and the next attempt requests the rest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

CONNECT_TIMEOUT, READ_TIMEOUT = 3.0, 30.0  # seconds; being offline is reported soon, while a slow mirror has time
CHUNK = 1 << 14  # bytes; a broken connection loses the last, incomplete chunk


def partial_file(url: str, folder: Path) -> Path:
    """Return the path of the partial file of a download."""
    return folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"


class Resumable:
    """A downloader for pooch that requests only the missing bytes (HTTP Range), or starts again where it must.

    pooch checks the checksum of the complete file, and discards a file whose parts do not fit together.
    """

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download `url` to `output_file`.

        Raises:
            requests.RequestException: no connection, or an HTTP error. The partial file remains.
        """
        import requests

        part = partial_file(url, Path(output_file).parent)
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"}  # without this, requests would decompress what a server compresses
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)) as answer:
            if answer.status_code == 416:  # no bytes remain: the part is complete, or belongs to another file
                part.rename(output_file)
                return
            answer.raise_for_status()
            # A server without support for ranges answers 200 and sends the whole file.
            with part.open("ab" if answer.status_code == 206 else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
        part.replace(output_file)
