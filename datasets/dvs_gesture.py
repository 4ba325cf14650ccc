"""DVS128 Gesture: gestures, recorded by an event camera."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from throughtime.datasets import nmnist
from throughtime.datasets.base import Split
from throughtime.datasets.event_recordings import EVENT, EventRecordings, Recording, archive_file, synthetic_events
from throughtime.datasets.files import fetch
from throughtime.datasets.frames import By, Remainder, Sensor
from throughtime.datasets.prepared import SPLITS
from throughtime.errors import UsageError, first_line
from throughtime.registry import dataset

TEN_SHA256 = "b527c240cf13d59ca6dc358636f73340bafeddf65a7c66bc6125e87ab9f9b661"
GESTURE_PAGE = "https://research.ibm.com/interactive/dvsgesture/"
GESTURE = tuple(
    archive_file(
        "dvsgesture",
        "DVSGesture",
        f"ibmGesture{part}.tar.gz",
        f"https://figshare.com/ndownloader/files/{number}",
        md5,
        "user*/*.npy",
        GESTURE_PAGE,
        f"ibmGesture{part}",
    )
    for part, number, md5 in (
        ("Train", 38022171, "3a8f0d4120a166bac7591f77409cb105"),
        ("Test", 38020584, "56070e45dadaa85fff82e0fbfbc06de5"),
    )
)

GESTURE_10 = (
    fetch.DataFile(
        "dvsgesture", "events", "dvsgesture_10.zip", TEN_SHA256, None, "*/*.bin", ("dvsgesture_10",), GESTURE_PAGE
    ),
)


@dataset("dvsgesture")
class Gesture(EventRecordings):
    """DVS128 Gesture: 11 gestures of 29 people, recorded by an event camera of 128x128 pixels.

    `EventRecordings` describes x_t and the options. The defaults are those of the paper's shallow network: 20 frames
    with equally many events, averaged over 4x4 pixels, so 2048 inputs. No person is in two splits: the test split is
    the official list, people 24 to 29; the validation split is people 20 to 23 of the official training list, and the
    training split the others.

    The files are those of tonic: 1077 + 264 recordings of single gestures, with times in milliseconds. The authors of
    FPTT have 288 test recordings; `dvsgesture_official` reads those.

    Args:
        part: `full`: the files of tonic; `10`: the first 1.45 s of ten recordings, in `dvsgesture_10.zip`, one of each
            of the first ten classes. All splits consist of these ten: a result tells whether a network fits them, and
            nothing about other recordings.

    Source: Amir et al., CVPR (2017) 7243; file format: tonic.
    """

    licence = "CC BY 4.0 (unverified)"
    readers = (*EventRecordings.readers, nmnist.__name__)
    files = GESTURE
    sensor = Sensor(128, 128)
    pattern = "user*/*.npy"
    outputs = 11

    def __init__(
        self,
        *,
        steps: PositiveInt = 20,
        by: By = "count",
        pool: Literal[1, 2, 4, 8, 16] = 4,
        values: Literal["counts", "spikes"] = "counts",
        remainder: Remainder = "drop",
        part: Literal["full", "10"] = "full",
    ) -> None:
        super().__init__(steps=steps, by=by, pool=pool, values=values, remainder=remainder)
        self.part = part
        if part == "10":
            self.files, self.pattern = GESTURE_10, "*/*.bin"

    @classmethod
    def tiny(cls) -> Gesture:
        """Return 44 synthetic recordings of four people in the format of tonic, in 5 frames of 8x8."""
        return cls(steps=5, pool=16).with_synthetic_files(synthetic_gestures)

    def label(self, recording: Recording) -> int:
        number = Path(recording.name).stem.split("_")[0]
        return int(number) if number.isdecimal() else -1

    def remark(self) -> str | None:
        return "training, validation and test split are the same ten recordings" if self.part == "10" else None

    def events(self, content: bytes, where: str) -> np.ndarray:
        if self.part == "10":
            return nmnist.events_of(content, where)
        try:
            rows = np.load(io.BytesIO(content), allow_pickle=False)
        except Exception as error:  # a damaged header is parsed as Python, which may raise any error
            raise UsageError(f"not an array file, or truncated: {first_line(error)}", where=where) from error
        if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "iu":
            what = f"the array is {rows.dtype} {list(rows.shape)}; expected whole numbers [events, 4]"
            raise UsageError(what, where=where)
        events = np.empty(len(rows), EVENT)
        for field, column in zip(("x", "y", "p", "t"), rows.T, strict=True):
            most = 2**40 if field == "t" else np.iinfo(EVENT[field]).max
            if len(wrong := np.flatnonzero((column < 0) | (column > most))):
                what = f"event {wrong[0]} has {field} = {column[wrong[0]]}, outside 0 ... {most}"
                raise UsageError(what, where=where)
            events[field] = column
        events["t"] *= 1000  # milliseconds
        return events

    def splits(self, recordings: Sequence[Recording], labels: np.ndarray) -> Mapping[Split, np.ndarray]:
        if self.part == "10":
            return {split: np.arange(len(recordings)) for split in SPLITS}
        person = np.array([int(re.sub(r"\D", "", recording.name.split("_")[0]) or 0) for recording in recordings])
        official = np.array([recording.file for recording in recordings])
        wrong = np.flatnonzero((official == 1) != (person >= 24))
        if len(wrong):
            raise UsageError(
                f"{recordings[wrong[0]].name} is in the wrong official list: people 1-23 train, 24-29 test"
            )
        held = (person >= 20) & (person < 24)
        return {
            "train": np.flatnonzero(~held & (person < 20)),
            "validation": np.flatnonzero(held),
            "test": np.flatnonzero(person >= 24),
        }


def gesture_bytes(events: np.ndarray) -> bytes:
    """Return the content of a file with these events in the format of tonic; times are truncated to milliseconds."""
    content = io.BytesIO()
    columns = [events["x"], events["y"], events["p"], events["t"] // 1000]
    np.save(content, np.stack([column.astype(np.int32) for column in columns], axis=1))
    return content.getvalue()


def synthetic_gestures(folder: Path) -> list[Path]:
    random = np.random.RandomState(0)
    paths = [folder / file.name for file in GESTURE]
    for path, part, people in zip(paths, ("Train", "Test"), ((1, 2, 20), (24,)), strict=True):
        with tarfile.open(path, "w:gz", compresslevel=1) as out:
            for person in people:
                for label in range(11):
                    content = gesture_bytes(synthetic_events(random, 4 * label, Gesture.sensor))
                    member = tarfile.TarInfo(f"ibmGesture{part}/user{person:02}_led/{label}.npy")
                    member.size = len(content)
                    out.addfile(member, io.BytesIO(content))
    return paths
