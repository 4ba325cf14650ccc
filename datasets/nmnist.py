"""N-MNIST: the digits of MNIST, recorded by an event camera."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from throughtime.datasets.base import Split
from throughtime.datasets.event_recordings import EVENT, EventRecordings, Recording, archive_file, synthetic_events
from throughtime.datasets.files import fetch
from throughtime.datasets.frames import By, Remainder, Sensor
from throughtime.datasets.prepared import held_out
from throughtime.errors import UsageError
from throughtime.registry import dataset

MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files"
NMNIST_PAGE = "https://www.garrickorchard.com/datasets/n-mnist"
NMNIST = (
    archive_file(
        "nmnist",
        "NMNIST",
        "train.zip",
        f"{MENDELEY}/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
        "20959b8e626244a1b502305a9e6e2031",
        "Train/*/*.bin",
        NMNIST_PAGE,
        "Train",
    ),
    archive_file(
        "nmnist",
        "NMNIST",
        "test.zip",
        f"{MENDELEY}/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
        "69ca8762b2fe404d9b9bad1103e97832",
        "Test/*/*.bin",
        NMNIST_PAGE,
        "Test",
    ),
)
NMNIST_1100 = (
    fetch.DataFile(
        "nmnist",
        "events",
        "nmnist_1100.zip",
        "3fe769d0d9356f140c84b8427ce8e6c22629da264ec3c941a456e79213875776",
        None,
        "*/*/*.bin",
        ("nmnist_1100",),
        NMNIST_PAGE,
    ),
)


@dataset("nmnist")
class NeuromorphicMNIST(EventRecordings):
    """N-MNIST: 60 000 + 10 000 digits of MNIST, recorded by a moving event camera of 34x34 pixels.

    `EventRecordings` describes x_t and the other options. A recording lasts about 0.3 s, three saccades of 0.1 s. The
    target is the digit, 10 classes. The validation split is a stratified tenth of the training recordings, by a fixed
    seed.

    Args:
        part: `full`: the official set; `1100`: its first 1000 and 100 recordings, in `nmnist_1100.zip` (100 test
            recordings determine an accuracy of 90 % to ± 6 points); null: the full set if its files are present, else
            the part if its file is.

    Source: Orchard, Jayawant, Cohen and Thakor, Frontiers in Neuroscience 9:437 (2015).
    """

    licence = "CC BY-SA 4.0 (unverified)"
    files = NMNIST
    sensor = Sensor(34, 34)
    pattern = "*/*/*.bin"
    outputs = 10

    def __init__(
        self,
        *,
        steps: PositiveInt = 20,
        by: By = "time",
        pool: Literal[1, 2] = 1,
        values: Literal["counts", "spikes"] = "counts",
        remainder: Remainder = "drop",
        part: Literal["full", "1100"] | None = None,
    ) -> None:
        super().__init__(steps=steps, by=by, pool=pool, values=values, remainder=remainder)
        self.part = part

    @classmethod
    def tiny(cls) -> NeuromorphicMNIST:
        """Return 30 + 10 synthetic recordings in the format of N-MNIST, in 5 frames of 17x17."""
        return cls(steps=5, pool=2).with_synthetic_files(synthetic_nmnist)

    def needed(self) -> tuple[fetch.DataFile, ...]:
        complete = all(fetch.find(file) for file in self.files)
        part = self.part or ("full" if complete or not fetch.find(NMNIST_1100[0]) else "1100")
        return self.files if part == "full" else NMNIST_1100

    def label(self, recording: Recording) -> int:
        digit = recording.name.split("/")[1]
        return int(digit) if digit.isdecimal() else -1

    def events(self, content: bytes, where: str) -> np.ndarray:
        return events_of(content, where)

    def splits(self, recordings: Sequence[Recording], labels: np.ndarray) -> Mapping[Split, np.ndarray]:
        part = np.array([recording.name.split("/")[0] for recording in recordings])
        own, test = np.flatnonzero(part == "Train"), np.flatnonzero(part == "Test")
        train, validation = held_out(labels[own], share=0.1, seed=34)
        return {"train": own[train], "validation": own[validation], "test": test}


def events_of(content: bytes, where: str) -> np.ndarray:
    """Return the events, of type EVENT, in a file in the format of N-MNIST.

    Raises:
        UsageError: the file is truncated.
    """
    from tonic.io import read_mnist_file

    if len(content) % 5:
        raise UsageError(
            f"truncated: {len(content)} bytes, which is no multiple of the 5 bytes of an event", where=where
        )
    return read_mnist_file(io.BytesIO(content), EVENT, is_stream=True)


def nmnist_bytes(events: np.ndarray) -> bytes:
    """Return the content of an N-MNIST file with these events, times up to 2^23 µs."""
    x, y, t, p = (events[field].astype(np.uint32) for field in ("x", "y", "t", "p"))
    high = (p << 7) | (t >> 16)
    return np.stack([x, y, high, (t >> 8) & 0xFF, t & 0xFF], axis=1).astype(np.uint8).tobytes()


def synthetic_nmnist(folder: Path) -> list[Path]:
    random = np.random.RandomState(0)
    paths = [folder / file.name for file in NMNIST]
    for path, part, count in zip(paths, ("Train", "Test"), (30, 10), strict=True):
        with zipfile.ZipFile(path, "w") as out:
            for i in range(count):
                content = nmnist_bytes(synthetic_events(random, i % 10, NeuromorphicMNIST.sensor))
                out.writestr(f"{part}/{i % 10}/{i + 1:05}.bin", content)
    return paths
