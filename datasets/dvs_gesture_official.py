"""DVS128 Gesture in the files of its authors: whole trials in AEDAT 3.1, and a table of the gestures in each."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from throughtime.datasets import aedat3
from throughtime.datasets.base import Split
from throughtime.datasets.dvs_gesture import GESTURE_PAGE
from throughtime.datasets.event_recordings import EventRecordings, Recording, synthetic_events
from throughtime.datasets.files import archive
from throughtime.datasets.files.fetch import DataFile, Origin
from throughtime.datasets.frames import Sensor
from throughtime.errors import UsageError
from throughtime.registry import dataset

NAME = "DvsGesture.tar.gz"
TRIALS, TABLES, LISTS = "DvsGesture/*.aedat", "DvsGesture/*_labels.csv", "DvsGesture/trials_to_*.txt"
"""Patterns of the recordings of trials, of their tables of gestures, and of the official lists."""
COLUMNS = "class,startTime_usec,endTime_usec"
OFFICIAL = (
    DataFile(
        "dvsgesture_official",
        "DVSGesture",
        NAME,
        None,
        lambda: Origin([], "md5:8a5c71fb11e24e5ca5b11866ca6c00a1"),
        "DvsGesture/*",
        ("DvsGesture",),
        GESTURE_PAGE,
    ),
)


class GestureInterval(NamedTuple):
    """A row of the table of a trial."""

    label: int
    """1 ... 11."""
    start: int
    """In microseconds."""
    end: int
    """In microseconds; the first time after the gesture."""


@dataset("dvsgesture_official")
class OfficialGesture(EventRecordings):
    """DVS128 Gesture from the files of its authors: 1176 + 288 gestures in 98 + 24 trials, 128x128 pixels, 11 classes.

    `EventRecordings` describes x_t and the options. A trial is a recording in AEDAT 3.1; its table has class, start and
    end of each gesture, and a gesture is the events with start ≤ t < end. This is the set on which SpikingJelly, and so
    Yin, Corradi and Bohte 2023, train, with 288 test recordings; `dvsgesture` reads tonic's selection of 1077 + 264
    with times in milliseconds. With `remainder: last_frame` the frames are those of SpikingJelly. The test split is the
    official list of trials, the validation split is people 20 to 23 of the official training list, and the training
    split the others. The file must be downloaded by hand: its publisher gives no address of the file itself.

    Source: Amir et al., CVPR (2017) 7243.
    """

    licence = "CC BY 4.0 (unverified)"
    readers = (*EventRecordings.readers, aedat3.__name__)
    files = OFFICIAL
    sensor = Sensor(128, 128)
    pattern = TRIALS
    outputs = 11
    _gestures: dict[str, list[GestureInterval]]
    """The gestures of each trial, set by `recordings`."""
    _lists: dict[str, Split]
    """The split of each trial by the official lists, set by `recordings`."""

    @classmethod
    def tiny(cls) -> OfficialGesture:
        """Return 48 synthetic gestures in four trials in the authors' format, in 5 frames of 8x8."""
        return cls(steps=5, pool=16).with_synthetic_files(synthetic_trials)

    def recordings(self, paths: Sequence[Path]) -> list[Recording]:
        """Return the gestures of all trials of the official lists, named `TRIAL/NUMBER`."""
        (path,) = paths
        self._lists = official_lists(path)
        tables = archive.read(path, TABLES)
        self._gestures = {_trial(name): gestures(content, f"{path}: {name}") for name, content in tables}
        recorded = {_trial(name) for name in archive.members(path, TRIALS)}
        for trial in self._lists:
            for what, there in (("recording", recorded), ("table of gestures", self._gestures)):
                if trial not in there:
                    raise UsageError(f"the official lists name {trial}, which has no {what}", where=str(path))
        return [Recording(0, f"{trial}/{i}") for trial in self._lists for i in range(len(self._gestures[trial]))]

    def read(self, paths: Sequence[Path]) -> Iterator[tuple[Recording, np.ndarray, str]]:
        (path,) = paths
        for name, content in archive.read(path, TRIALS):
            trial, where = _trial(name), f"{path}: {name}"
            if trial not in self._lists:
                continue
            events = self.events(content, where)
            for i, gesture in enumerate(self._gestures[trial]):
                within = (events["t"] >= gesture.start) & (events["t"] < gesture.end)
                yield Recording(0, f"{trial}/{i}"), events[within], f"{where}: gesture {i + 1}"

    def label(self, recording: Recording) -> int:
        trial, _, i = recording.name.partition("/")
        return self._gestures[trial][int(i)].label - 1

    def events(self, content: bytes, where: str) -> np.ndarray:
        return aedat3.read_aedat3(content, where)

    def splits(self, recordings: Sequence[Recording], labels: np.ndarray) -> Mapping[Split, np.ndarray]:
        trials = [recording.name.partition("/")[0] for recording in recordings]
        test = np.array([self._lists[trial] == "test" for trial in trials])
        held = ~test & np.array([20 <= int(re.sub(r"\D", "", trial.partition("_")[0]) or 0) < 24 for trial in trials])
        chosen: dict[Split, np.ndarray] = {"train": ~test & ~held, "validation": held, "test": test}
        return {split: np.flatnonzero(mask) for split, mask in chosen.items()}


def official_lists(path: Path) -> dict[str, Split]:
    """Return the official list of each trial, `train` or `test`, in the order of the training and then the test list.

    Raises:
        UsageError: a list is missing or empty, or both name one trial.
    """
    named = {
        _trial(name).removeprefix("trials_to_"): content.decode(errors="replace").split()
        for name, content in archive.read(path, LISTS)
    }
    splits: dict[str, Split] = {}
    lists: tuple[Split, ...] = ("train", "test")
    for split in lists:
        if not named.get(split):
            raise UsageError(f"holds no trials_to_{split}.txt with trials", where=str(path))
        for file in named[split]:
            if splits.setdefault(_trial(file), split) != split:
                raise UsageError(f"both official lists name {_trial(file)}", where=str(path))
    return splits


def gestures(content: bytes, where: str) -> list[GestureInterval]:
    """Return the rows of the table of a trial.

    Raises:
        UsageError: the table has other columns, a row is not three whole numbers, or ends before it starts.
    """
    header, *rows = content.decode(errors="replace").split() or [""]
    if header != COLUMNS:
        raise UsageError(f'the first line is "{header[:40]}"; expected "{COLUMNS}"', where=where)
    intervals = []
    for number, row in enumerate(rows, 2):
        numbers = row.split(",")
        if len(numbers) != 3 or not all(text.isdecimal() for text in numbers):
            raise UsageError(f'line {number} is "{row[:40]}"; expected three whole numbers', where=where)
        gesture = GestureInterval(*map(int, numbers))
        if gesture.end <= gesture.start:
            raise UsageError(f"line {number}: the gesture ends at {gesture.end} µs, before it starts", where=where)
        intervals.append(gesture)
    return intervals


def _trial(name: str) -> str:
    """Return the trial of a file such as `DvsGesture/user01_led.aedat` or `user01_led_labels.csv`."""
    return PurePosixPath(name).stem.removesuffix("_labels")


def aedat3_bytes(events: np.ndarray, packets: int = 2) -> bytes:
    """Return the content of an AEDAT 3.1 file with these events in so many packets, and a packet of another kind."""
    content = aedat3.VERSION + b"#Format: RAW\r\n" + aedat3.END_OF_HEADER
    content += aedat3.PACKET.pack(0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)
    for part in np.array_split(events, packets):
        words = np.empty((len(part), 2), "<u4")
        x, y, p = (part[field].astype(np.uint32) for field in ("x", "y", "p"))
        words[:, 0], words[:, 1] = x << 17 | y << 2 | p << 1 | 1, part["t"] & 0x7FFFFFFF
        overflow = int(part["t"][0]) >> 31 if len(part) else 0
        content += aedat3.PACKET.pack(aedat3.POLARITY, 1, 8, 4, overflow, *(len(part),) * 3) + words.tobytes()
    return content


def synthetic_trials(folder: Path) -> list[Path]:
    """Write the archive with four trials of 12 gestures each, of which class 8 has two; return its path."""
    random = np.random.RandomState(0)
    trials = {f"user{person:02}_led": person for person in (1, 2, 20, 24)}
    files = {f"trials_to_{split}.txt": "" for split in ("train", "test")}
    contents: dict[str, bytes] = {}
    for trial, person in trials.items():
        files["trials_to_test.txt" if person >= 24 else "trials_to_train.txt"] += f"{trial}.aedat\n"
        labels = sorted([*range(1, 12), 8])
        parts, rows = [], [COLUMNS]
        for i, label in enumerate(labels):
            events = synthetic_events(random, 4 * (label - 1), OfficialGesture.sensor)
            events["t"] += 200_000 * i + 50_000
            rows.append(f"{label},{200_000 * i + 50_000},{200_000 * i + 150_000}")
            parts.append(events)
        contents[f"{trial}.aedat"] = aedat3_bytes(np.concatenate(parts))
        contents[f"{trial}_labels.csv"] = "\n".join([*rows, ""]).encode()
    contents |= {name: text.encode() for name, text in files.items()}
    path = folder / NAME
    with tarfile.open(path, "w:gz", compresslevel=1) as out:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"DvsGesture/{name}")
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return [path]
