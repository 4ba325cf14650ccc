"""CIFAR10-DVS: moving CIFAR-10 images, recorded by an event camera."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from throughtime.datasets.aedat import AedatReader
from throughtime.datasets.arrays import stratified_order
from throughtime.datasets.base import Split
from throughtime.datasets.event_recordings import EVENT, EventRecordings, Recording, archive_file, synthetic_events
from throughtime.datasets.frames import Sensor
from throughtime.errors import UsageError
from throughtime.registry import dataset

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR = (
    archive_file(
        "cifar10dvs",
        "CIFAR10DVS",
        "CIFAR10DVS.zip",
        "https://figshare.com/ndownloader/files/38023437",
        "ce3a4a0682dc0943703bd8f749a7701c",
        "*/*.aedat4",
        "https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
        "CIFAR10DVS",
    ),
)


@dataset("cifar10dvs")
class Cifar10DVS(EventRecordings):
    """CIFAR10-DVS: 10 000 images of ten classes that move on a screen, recorded by an event camera of 128x128 pixels.

    `EventRecordings` describes x_t and the options. There is no official split: a stratified tenth of the recordings is
    the test split, another tenth the validation split, and the rest the training split, by a fixed seed.

    The files are those of tonic, in AEDAT4.

    Source: Li, Liu, Ji, Li and Shi, Frontiers in Neuroscience 11:309 (2017); file format: tonic.
    """

    licence = "CC BY 4.0 (unverified)"
    readers = (*EventRecordings.readers, AedatReader.__module__)
    libraries = ("tonic", "aedat")
    files = CIFAR
    sensor = Sensor(128, 128)
    pattern = "*/*.aedat4"
    outputs = 10
    _reader: AedatReader | None = None
    """The process that decodes all recordings of a build."""

    @classmethod
    def tiny(cls) -> Cifar10DVS:
        """Return 40 synthetic recordings in the format of tonic, in 5 frames of 8x8."""
        return cls(steps=5, pool=16).with_synthetic_files(synthetic_cifar)

    def label(self, recording: Recording) -> int:
        name = recording.name.split("/")[0]
        return CLASSES.index(name) if name in CLASSES else -1

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        with AedatReader() as self._reader:
            super().build(paths, folder)
        self._reader = None

    def events(self, content: bytes, where: str) -> np.ndarray:
        # Outside a build, a recording starts a process of its own.
        with nullcontext(self._reader) if self._reader else AedatReader() as reader:
            read = reader.events(content, where)
        names = read.dtype.names
        if names is None or len(names) != len("txyp"):
            raise UsageError("not an AEDAT4 file with events", where=where)
        events = np.empty(len(read), EVENT)
        for field, name in zip(("t", "x", "y", "p"), names, strict=True):
            events[field] = read[name]
        return events

    def splits(self, recordings: Sequence[Recording], labels: np.ndarray) -> Mapping[Split, np.ndarray]:
        order, tenth = stratified_order(labels, seed=10), round(0.1 * len(labels))
        test, validation, train = np.split(order, [tenth, 2 * tenth])
        return {"train": train, "validation": validation, "test": test}


def aedat4_bytes(events: np.ndarray, sensor: Sensor) -> bytes:
    """Return the content of an uncompressed AEDAT4 file with these events in one packet.

    A line with the version precedes size-prefixed FlatBuffers: a header, whose only field is a description in XML, and
    a packet, whose only field is a vector of events (t 8 bytes, x 2, y 2, p 1, padding 3).
    """
    size = "".join(f'<attr key="size{axis}" type="int">{n}</attr>' for axis, n in zip("XY", sensor, strict=True))
    xml = (
        '<dv version="2.0"><node name="outInfo" path="/outInfo/"><node name="0" path="/outInfo/0/">'
        '<attr key="compression" type="string">NONE</attr><attr key="typeIdentifier" type="string">EVTS</attr>'
        f'<node name="info" path="/outInfo/0/info/">{size}</node></node></node></dv>'
    ).encode()
    # Offset of the table, file identifier, layout of the table, and the table: offsets of its layout and of its field.
    header = struct.pack("<I4sHHHHH2xiII", 20, b"IOHE", 10, 8, 0, 0, 4, 12, 4, len(xml)) + xml + b"\0"
    header += bytes(-len(header) % 4)
    rows = np.zeros(len(events), np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?"), ("", "V3")]))
    for field in "txyp":
        rows[field] = events[field]
    packet = struct.pack("<I4sHHH2xiII", 16, b"EVTS", 6, 8, 4, 8, 4, len(rows)) + rows.tobytes()
    packet = struct.pack("<I", len(packet)) + packet
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(header)) + header + struct.pack("<II", 0, len(packet)) + packet


def synthetic_cifar(folder: Path) -> list[Path]:
    """Write the archive, which holds one archive per class, with 40 synthetic recordings; return its path."""
    random = np.random.RandomState(0)
    path = folder / CIFAR[0].name
    with zipfile.ZipFile(path, "w") as out:
        for label, name in enumerate(CLASSES):
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as inner:
                for i in range(4):
                    events = synthetic_events(random, 4 * label, Cifar10DVS.sensor)
                    inner.writestr(f"{name}/cifar10_{name}_{i}.aedat4", aedat4_bytes(events, Cifar10DVS.sensor))
            out.writestr(f"{name}.zip", content.getvalue())
    return [path]
