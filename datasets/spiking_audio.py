"""Spiking Heidelberg Digits and Spiking Speech Commands: spoken words as spikes of a cochlea model in time bins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from throughtime.datasets.base import Split, computed
from throughtime.datasets.classes import checked_labels
from throughtime.datasets.files import archive, cache, fetch
from throughtime.datasets.prepared import SPLITS, PreparedDataset, save
from throughtime.datasets.task import Classification
from throughtime.errors import UsageError, first_line
from throughtime.registry import dataset

PAGE = "https://zenkelab.org/datasets"
READ = ("labels", "extra/speaker", "spikes/times", "spikes/units")
"""Arrays that are read from a file."""
LIBRARY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
"""Exceptions of h5py for data that cannot be read or have the wrong type."""
MOST_RECORDINGS = 10**7
"""Largest number of recordings of a file; a sparse array of any size needs hardly any space on disk."""


def _files(name: str, md5: Mapping[str, str]) -> tuple[fetch.DataFile, ...]:
    def file(part: str, checksum: str) -> fetch.DataFile:
        packed = f"{name}_{part}.h5.zip"
        origin = fetch.Origin([f"{PAGE}/{packed}"], f"md5:{checksum}")
        also = (f"{name}_{part}.h5", f"{name}_{part}.h5.gz")
        return fetch.DataFile(name, name.upper(), packed, None, lambda: origin, also=also, page=PAGE)

    return tuple(file(part, checksum) for part, checksum in md5.items())


class SpikingWords(PreparedDataset):
    """Base of both datasets: 700 channels of a cochlea model, T bins from the start of a recording.

    x_t holds the number of spikes of each channel in bin t (`counts`), or whether there was a spike (`spikes`, stored
    in one bit). Spikes after the last bin are dropped.

    Args:
        steps: T. The defaults are 250 bins of 4 ms, the first second, as in the published code of Yin, Corradi and
            Bohte (2021).
        bin_ms: duration of a bin, in milliseconds.
        values: `counts` or `spikes`.

    Raises:
        UsageError: at the first use, if a file is missing, has the wrong content, or holds a spike of an invalid
            channel.
    """

    readers = (archive.__name__,)
    libraries = ("tonic",)
    units = 700

    def __init__(
        self,
        *,
        steps: PositiveInt = 250,
        bin_ms: Annotated[float, Field(gt=0, le=1000)] = 4.0,
        values: Literal["counts", "spikes"] = "spikes",
    ) -> None:
        self.steps, self.bin_ms, self.values, self.bits = steps, bin_ms, values, values == "spikes"
        self.task = Classification(self.outputs)

    @computed
    def inputs(self) -> int:
        return self.units

    @abstractmethod
    def splits(self, part: np.ndarray, speaker: np.ndarray) -> Mapping[Split, np.ndarray]:
        """Return the positions of the recordings of each split, from file and speaker numbers [recordings]."""

    def parameters(self) -> Mapping[str, Any]:
        return {"steps": self.steps, "bin_ms": self.bin_ms, "values": self.values}

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        raw = folder / "raw.h5"  # exists only while it is read
        parts, speakers, labels = [], [], []
        for i, path in enumerate(paths):
            with _opened(archive.unpack(path, raw), path) as file:
                count = len(file["labels"])
                labels.append(checked_labels(file["labels"][:].astype(int), self.outputs, str(path)))
                speakers.append(file["extra/speaker"][:].astype(int))
                parts.append(np.full(count, i))
        label = np.concatenate(labels)

        def rows() -> Iterator[tuple[int, np.ndarray]]:
            position = 0
            for path in paths:
                with _opened(archive.unpack(path, raw), path) as file:
                    times, units = file["spikes/times"], file["spikes/units"]
                    for i in range(len(times)):
                        yield position, self.binned(times[i], units[i], f"{path}: recording {i}")
                        position += 1

        cache.write_rows(folder / "x.npy", len(label), rows(), bits=self.bits)
        raw.unlink(missing_ok=True)
        save(folder, label.astype(np.uint8), self.splits(np.concatenate(parts), np.concatenate(speakers)))

    def binned(self, times: np.ndarray, units: np.ndarray, where: str) -> np.ndarray:
        """Count spikes, at `times` in seconds, in the bins of each channel: [steps, units] int16.

        Raises:
            UsageError: a time or a channel is invalid.
        """
        from tonic.transforms import ToFrame

        if len(times) != len(units) or not np.isfinite(times).all() or (times < 0).any():
            raise UsageError("spikes without a valid time", where=where)
        wrong = units[(units < 0) | (units >= self.units) | (units % 1 != 0)]
        if len(wrong):
            raise UsageError(f"a spike of channel {wrong[0]}, but there are {self.units} channels", where=where)
        spikes = np.zeros(len(times), np.dtype([("t", np.int64), ("x", np.int32), ("p", np.int8)]))
        window = self.bin_ms * 1000
        # Half a bin more: tonic counts whole bins, and rounding may make the last one incomplete.
        end = (self.steps + 0.5) * window
        # Later times need not fit into 64 bits; their spikes do not count.
        spikes["t"], spikes["x"] = np.rint(np.minimum(times.astype(float), 2e-6 * end) * 1e6), units
        spikes.sort(order="t", kind="stable")
        if not len(spikes):
            return np.zeros((self.steps, self.units), np.int16)
        frames = ToFrame((self.units, 1, 1), time_window=window, start_time=0, end_time=end)
        return frames(spikes).reshape(self.steps, self.units)


@dataset("shd")
class HeidelbergDigits(SpikingWords):
    """Spiking Heidelberg Digits: 8156 + 2264 spoken digits, German and English, as spikes of 700 channels.

    `SpikingWords` describes x_t and the options. The target is the word, 20 classes. The validation split holds the
    recordings of the two training speakers, out of ten, with the highest numbers: no speaker is in both splits, just as
    two of the test speakers are in neither.

    Source: Cramer, Stradmann, Schemmel and Zenke, IEEE Transactions on Neural Networks and Learning Systems 33 (2022).
    """

    licence = "CC BY 4.0 (unverified)"
    files = _files("shd", {"train": "f3252aeb598ac776c1b526422d90eecb", "test": "1503a5064faa34311c398fb0a1ed0a6f"})
    outputs = 20

    @classmethod
    def tiny(cls) -> HeidelbergDigits:
        """Return 80 + 20 synthetic recordings of 70 channels in the same format, in 10 bins."""
        return cls(steps=10, bin_ms=10.0).with_synthetic_files(lambda folder: synthetic_words(cls, folder), units=70)

    def splits(self, part: np.ndarray, speaker: np.ndarray) -> Mapping[Split, np.ndarray]:
        own = part == 0
        held = own & np.isin(speaker, np.unique(speaker[own])[-2:])
        return {
            "train": np.flatnonzero(own & ~held),
            "validation": np.flatnonzero(held),
            "test": np.flatnonzero(part == 1),
        }


@dataset("ssc")
class SpeechCommands(SpikingWords):
    """Spiking Speech Commands: 75 466 + 9981 + 20 382 spoken words as spikes of 700 channels; the official split.

    `SpikingWords` describes x_t and the options. The target is the word, 35 classes.

    Source: Cramer, Stradmann, Schemmel and Zenke, IEEE Transactions on Neural Networks and Learning Systems 33 (2022).
    """

    licence = "CC BY 4.0 (unverified)"
    files = _files(
        "ssc",
        {
            "train": "d102be95e7144fcc0553d1f45ba94170",
            "valid": "b4eee3516a4a90dd0c71a6ac23a8ae43",
            "test": "a35ff1e9cffdd02a20eb850c17c37748",
        },
    )
    outputs = 35

    @classmethod
    def tiny(cls) -> SpeechCommands:
        """Return 140 + 35 + 35 synthetic recordings of 70 channels in the same format, in 10 bins."""
        return cls(steps=10, bin_ms=10.0).with_synthetic_files(lambda folder: synthetic_words(cls, folder), units=70)

    def splits(self, part: np.ndarray, speaker: np.ndarray) -> Mapping[Split, np.ndarray]:
        return {split: np.flatnonzero(part == i) for i, split in enumerate(SPLITS)}


def synthetic_words(kind: type[SpikingWords], folder: Path) -> list[Path]:
    """Write the files of a dataset with synthetic recordings of 0.1 s, in 70 channels; return their paths.

    Each class has recordings of four speakers in the first file and of one speaker in the others.
    """
    random = np.random.RandomState(0)
    paths = [folder / file.also[0] for file in kind.files]
    for i, path in enumerate(paths):
        label = np.tile(np.arange(kind.outputs), 1 if i else 4)
        spikes = [(np.sort(random.random_sample(20) * 0.1), (2 * c + random.randint(0, 2, 20)) % 70) for c in label]
        write_words(path, spikes, label, speaker=10 * i + np.arange(len(label)) // kind.outputs)
    return paths


def write_words(
    path: Path, spikes: Sequence[tuple[np.ndarray, np.ndarray]], label: np.ndarray, speaker: np.ndarray
) -> None:
    """Write a file in the format of both datasets.

    Args:
        path: path of the file.
        spikes: times in seconds and channels of the spikes, for each recording.
        label: [recordings], the class of each recording.
        speaker: [recordings], the number of its speaker.
    """
    import h5py

    with h5py.File(path, "w") as file:
        for name, kind, i in (("times", np.float16, 0), ("units", np.uint16, 1)):
            written = file.create_dataset(f"spikes/{name}", (len(spikes),), h5py.vlen_dtype(kind))
            for k, recording in enumerate(spikes):
                written[k] = recording[i].astype(kind)
        file["labels"], file["extra/speaker"] = label.astype(np.uint16), speaker.astype(np.uint16)


@contextmanager
def _opened(file: Path, path: Path) -> Iterator[Any]:
    """Open an HDF5 file, unpacked from `path`, and check that it has the arrays in `READ`.

    Raises:
        UsageError: it is not an HDF5 file, or is damaged, which may only appear while the caller reads.
    """
    import h5py

    try:
        opened = h5py.File(file, "r")
    except (OSError, RuntimeError) as error:
        raise UsageError(f"not an HDF5 file, or truncated: {first_line(error)}", where=str(path)) from error
    try:
        with opened:
            for name in READ:
                if not isinstance(values := opened.get(name), h5py.Dataset):
                    what = f'the file has no "{name}"' if values is None else f'"{name}" is not an array'
                    raise UsageError(what, where=str(path))
                if values.file.filename != opened.filename or values.external or values.is_virtual:
                    hint = "the file may be malicious and is not read: no checksum covers the other file"
                    raise UsageError(f'"{name}" is in another file', str(path), hint)
            if len({len(opened[name]) for name in READ}) > 1:
                raise UsageError("labels, speakers and spikes differ in the number of recordings", where=str(path))
            if (count := len(opened["labels"])) > MOST_RECORDINGS:
                raise UsageError(f"{count} recordings; there are at most {MOST_RECORDINGS}", where=str(path))
            for name in READ[:2]:
                if (kind := opened[name].dtype).kind not in "iu":
                    raise UsageError(f'"{name}" is {kind}, not whole numbers', where=str(path))
            yield opened
    except LIBRARY_ERRORS as error:
        raise UsageError(f"damaged: {first_line(error)}", where=str(path)) from error
