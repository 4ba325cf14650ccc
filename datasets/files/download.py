"""Downloads that can be interrupted: what has come stays in a partial file, and the next try asks for the rest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

CONNECT_TIMEOUT, READ_TIMEOUT = 3.0, 30.0  # seconds; offline must be told soon, a slow mirror may take its time
CHUNK = 1 << 14  # bytes; what of the last one has come is lost when a connection breaks


def partial_file(url: str, folder: Path) -> Path:
    """Where the part of a file that has come so far is kept."""
    return folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"


class Resumable:
    """A downloader for pooch. It asks for the bytes that are missing (HTTP Range), and begins anew where it must.

    What the parts make up is checked by pooch against the checksum of the whole; parts that do not fit are thrown away.
    """

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Bring `url` into `output_file`.

        Raises:
            requests.RequestException: no connection, or an answer that says no. What has come by then is kept.
        """
        import requests

        part = partial_file(url, Path(output_file).parent)
        have = part.stat().st_size if part.exists() else 0
        asked = {"Accept-Encoding": "identity"}  # the file's own bytes: a server may pack, and requests unpack, others
        if have:
            asked["Range"] = f"bytes={have}-"
        with requests.get(url, headers=asked, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)) as answer:
            if answer.status_code == 416:  # nothing beyond what is here: all of it, or all of something else
                part.rename(output_file)
                return
            answer.raise_for_status()
            # A server that knows nothing of ranges answers 200 and sends the whole.
            with part.open("ab" if answer.status_code == 206 else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
        part.replace(output_file)
