"""The Free Spoken Digit Dataset: wav files of digits, as log-mel frames or as spikes."""

from __future__ import annotations

import functools
import io
import re
import wave
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from throughtime.datasets import encoders
from throughtime.datasets.base import Split
from throughtime.datasets.files import archive, cache, fetch
from throughtime.datasets.prepared import PreparedDataset, held_out, save
from throughtime.datasets.task import Classification
from throughtime.errors import UsageError, first_line
from throughtime.registry import dataset, or_default, refuse_unused

RATE = 8000  # samples per second
WINDOW, HOP, FFT = 200, 80, 256  # in samples: frames of 25 ms every 10 ms
FLOOR = 80.0  # dB below full scale; lower powers count as silence
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SAMPLE = Path(__file__).parent / "samples" / "fsdd_40.zip"
PATTERN, NAME = "recordings/*.wav", re.compile(r"recordings/(\d)_([a-z]+)_(\d+)\.wav")

FILES = (
    fetch.DataFile(
        "fsdd",
        "fsdd",
        "fsdd_recordings.zip",
        "04e1baae96c6a26e39c623f2b01d0182ddae627ba0ac02a3cdc17ba2af99fd9b",
        lambda: fetch.Origin(
            ["https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip"], None
        ),
        inside=PATTERN,
        also=("recordings", "free-spoken-digit-dataset", "v1.0.10.zip", "free-spoken-digit-dataset-1.0.10.zip"),
        page="https://github.com/Jakobovski/free-spoken-digit-dataset",
    ),
)


@dataset("fsdd")
class SpokenDigits(PreparedDataset):
    """Free Spoken Digit Dataset, 3000 recordings of ten digits by six speakers, as log-mel frames or as spikes.

    `frames`: x_t in [0, 1]^bands for each step of 10 ms is the power in mel bands of a frame of 25 ms,

        x_t = clip(1 + 10 log10(P_t / P_0) / 80, 0, 1)

    where P_0 is the power of a full-scale sine: 0 stands for 80 dB below it, and for steps after the end of a
    recording. x_t is stored in 8 bits, a third of a decibel each. No statistic of the data enters the normalisation.

    `spikes`: these frames encoded by `send_on_delta`, 2 `bands` channels of zeros and ones.

    The recordings last 0.1 to 2.3 s. The target is the digit, 10 classes.

    Args:
        steps: T; a longer recording is truncated, a shorter one is padded with silence.
        bands: number of mel bands from 0 to 4000 Hz.
        form: `frames` or `spikes`.
        delta: δ of `send_on_delta`, in the units of x, so that 0.1 is 8 dB; null: 0.1.
        split: `official`: recordings 0 ... 4 of each digit and speaker are the test split (300), and a tenth of the
            others, stratified by digit and speaker with a fixed seed, is the validation split (270).
            `speakers`: no speaker is in two splits; yweweler is the test split, theo the validation split (500 each).

    Raises:
        UsageError: at the first use, if a file is missing or truncated, or is not a wav file of 8 kHz, mono, 16 bit.

    Source: Jackson et al., Free Spoken Digit Dataset (2018), doi:10.5281/zenodo.1342401, v1.0.10.
    """

    licence = "CC BY-SA 4.0"
    files = FILES
    readers = (archive.__name__, encoders.__name__)
    libraries = ("scipy",)
    outputs = 10

    def __init__(
        self,
        *,
        steps: PositiveInt = 100,
        bands: Annotated[int, Field(ge=4, le=40)] = 40,
        form: Literal["frames", "spikes"] = "frames",
        delta: Annotated[float, Field(gt=0, le=1)] | None = None,
        split: Literal["official", "speakers"] = "official",
    ) -> None:
        refuse_unused("form: spikes", form == "spikes", delta=delta)
        self.steps, self.bands, self.form, self.split, self.bits = steps, bands, form, split, form == "spikes"
        self.delta = or_default(delta, 0.1) if form == "spikes" else None
        self.repeated = 0.0 if steps >= 100 and form == "frames" else None
        self.inputs, self.unit = (bands, 255.0) if form == "frames" else (2 * bands, 1.0)
        self.task = Classification(self.outputs)

    @classmethod
    def tiny(cls) -> SpokenDigits:
        """Return 40 real recordings, four of each digit (20 for test, 2 for validation), in 30 steps of 8 bands."""
        return cls(steps=30, bands=8).with_synthetic_files(lambda folder: [SAMPLE], licence=cls.licence)

    def parameters(self) -> Mapping[str, Any]:
        return {"steps": self.steps, "bands": self.bands, "delta": self.delta, "split": self.split}

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        (path,) = paths
        names = archive.members(path, PATTERN)
        parts = np.array([_parts(name, path) for name in names])
        position = {name: i for i, name in enumerate(names)}

        def rows() -> Iterator[tuple[int, np.ndarray]]:
            for name, content in archive.read(path, PATTERN):
                x = log_mel(samples(content, f"{path}: {name}"), self.bands, self.steps)
                if self.delta is None:
                    yield position[name], np.rint(255 * x).astype(np.uint8)
                else:
                    yield position[name], encoders.send_on_delta(x, self.delta)

        cache.write_rows(folder / "x.npy", len(names), rows(), bits=self.bits)
        save(folder, parts[:, 0].astype(np.uint8), self._splits(parts))

    def _splits(self, parts: np.ndarray) -> dict[Split, np.ndarray]:
        digit, speaker, index = parts.T
        if self.split == "speakers":
            test, validation = (np.flatnonzero(speaker == SPEAKERS.index(who)) for who in ("yweweler", "theo"))
            train = np.flatnonzero(speaker < SPEAKERS.index("theo"))
            return {"train": train, "validation": validation, "test": test}
        others = np.flatnonzero(index >= 5)
        train, validation = held_out(10 * speaker[others] + digit[others], share=0.1, seed=3000)
        return {"train": others[train], "validation": others[validation], "test": np.flatnonzero(index < 5)}


def samples(content: bytes, where: str) -> np.ndarray:
    """Return the samples of a wav file, [samples] float32 in [-1, 1).

    Raises:
        UsageError: it is not a wav file, is not 8 kHz mono 16 bit, is truncated, or has no sample.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            kind = (file.getframerate(), file.getnchannels(), 8 * file.getsampwidth())
            expected, data = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError, RuntimeError) as error:  # the last two have no message
        raise UsageError(f"not a wav file: {first_line(error) or 'it ends in a header'}", where=where) from error
    if kind != (RATE, 1, 16):
        what = "the wav file has {} Hz, {} channels, {} bit; expected 8000 Hz, 1 channel, 16 bit".format(*kind)
        raise UsageError(what, where=where)
    if len(data) < 2 * expected or not expected:
        raise UsageError(f"truncated: {len(data) // 2} of {expected} samples", where=where)
    return np.frombuffer(data, "<i2").astype(np.float32) / 2**15


def log_mel(sound: np.ndarray, bands: int, steps: int) -> np.ndarray:
    """Return x of `SpokenDigits`, [steps, bands] float32 in [0, 1]."""
    from scipy import fft
    from scipy.signal.windows import hann

    # Samples after the last step are not read; the tail of a recording that fills no frame is dropped.
    sound = sound[: FFT + (steps - 1) * HOP]
    sound = np.pad(sound, (0, max(0, FFT - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, FFT)[::HOP].T
    window = np.pad(hann(WINDOW, sym=False), (FFT - WINDOW) // 2)
    # In Fortran order the product rounds as in librosa, with which the digests of recorded runs were made.
    spectrum = fft.rfft(window[:, None] * frames, axis=0).astype(np.complex64, order="F")
    power = np.einsum("ft,mf->mt", np.abs(spectrum) ** 2, mel_bands(bands), optimize=True)
    full = (
        0.5 * 0.5 * WINDOW
    ) ** 2  # half the sum of a Hann window is the spectrum of a full-scale sine at its frequency
    x = np.zeros((steps, bands), np.float32)
    decibels = np.clip(1 + 10 * np.log10(np.maximum(power.T / full, 1e-12)) / FLOOR, 0, 1)[:steps]
    x[: len(decibels)] = decibels
    return x


@functools.cache
def mel_bands(bands: int) -> np.ndarray:
    """Return the weights of the transform's frequencies in each band, [bands, 1 + FFT / 2] float32.

    The bands are triangles of height 1 between neighbours of equally spaced points on the mel scale, which is linear
    up to 1000 Hz = 15 mel and logarithmic above. The weights equal those of `librosa.filters.mel` to the last bit;
    to import librosa would compile for 20 s. Source: Slaney, Auditory Toolbox, Technical Report 1998-010.
    """
    growth = np.log(6.4) / 27
    mel = np.linspace(0, 15 + np.log(RATE / 2 / 1000) / growth, bands + 2)
    corners = np.where(mel < 15, 200 / 3 * mel, 1000 * np.exp(growth * (mel - 15)))
    distances = np.subtract.outer(corners, np.fft.rfftfreq(FFT, 1 / RATE))
    widths = np.diff(corners)[:, None]
    rising, falling = -distances[:-2] / widths[:-1], distances[2:] / widths[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def _parts(name: str, path: Path) -> tuple[int, int, int]:
    """Return the digit, the number of the speaker, and the index, from the name of a file."""
    match = NAME.fullmatch(name)
    if not match or match[2] not in SPEAKERS:
        hint = f"names are digit_speaker_index.wav, by {', '.join(SPEAKERS)}"
        raise UsageError(f"{name} is not a recording of this dataset", str(path), hint)
    return int(match[1]), SPEAKERS.index(match[2]), int(match[3])
