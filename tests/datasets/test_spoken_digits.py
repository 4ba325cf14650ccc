"""Spoken digits from wav files, as log-mel frames and as spikes, and the encoder of these."""

import io
import wave
import zipfile

import numpy as np
import pydantic
import pytest
import torch

from tests.real_data import real, real_source  # noqa: F401
from throughtime.datasets.encoders import send_on_delta
from throughtime.datasets.files import archive, fetch
from throughtime.datasets.spoken_digits import (
    FILES,
    PATTERN,
    RATE,
    SAMPLE,
    SPEAKERS,
    SpokenDigits,
    log_mel,
    mel_bands,
    samples,
)
from throughtime.datasets.spoken_frames import SpokenFrames
from throughtime.errors import UsageError
from throughtime.registry import DATASETS

SPLITS = ("train", "validation", "test")


def nothing_is_left(source):
    return not [path for path in (source.parent / "cache" / "prepared").glob("*") if path.is_dir()]


# --- the encoder


def test_send_on_delta_by_hand():
    x = np.array([[0.0], [0.2], [0.5], [0.55], [0.3], [0.0], [0.0]])
    spikes = send_on_delta(x, 0.2)
    # b after each step: 0, 0.2, 0.4, 0.4, 0.4, 0.2, 0.0
    assert spikes[:, 0].tolist() == [0, 1, 1, 0, 0, 0, 0]
    assert spikes[:, 1].tolist() == [0, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("delta", [0.05, 0.1, 0.3])
def test_a_receiver_knows_a_slow_trace_to_delta(delta):
    random = np.random.RandomState(0)
    x = np.cumsum(random.uniform(-delta, delta, (500, 7)), axis=0)
    up, down = np.split(send_on_delta(x, delta).astype(float), 2, axis=1)
    b = delta * np.cumsum(up - down, axis=0)
    assert np.abs(x - b).max() < delta * (1 + 1e-6)
    assert not (up * down).any()


def test_a_fast_trace_is_followed_by_delta_a_step():
    spikes = send_on_delta(np.ones((6, 1)), 0.25)
    assert spikes[:, 0].tolist() == [1, 1, 1, 1, 0, 0]


# --- wav


def wav(sound, rate=RATE, channels=1):
    """The content of the wav file that holds these samples of 16 bit."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.tobytes())
    return content.getvalue()


def test_samples_there_and_back():
    sound = np.array([0, 1, -1, 2**15 - 1, -(2**15)], "<i2")
    assert (samples(wav(sound), "") * 2**15).tolist() == sound.tolist()


SOUND = np.full(800, 1000, "<i2")


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"RIFF", "not a wav file"),
        (b"<!DOCTYPE html>", "not a wav file"),
        (wav(SOUND)[:30], "not a wav file: it ends in a header"),
        (b"RIFF\x14\0\0\0WAVEjunk\0\1\0\0", "not a wav file: it ends in a header"),
        (wav(SOUND)[:-2], "truncated: 799 of 800 samples"),
        (wav(SOUND[:0]), "truncated: 0 of 0 samples"),
        (wav(SOUND, rate=16_000), "the wav file has 16000 Hz, 1 channels, 16 bit; expected 8000 Hz"),
        (wav(SOUND, channels=2), "the wav file has 8000 Hz, 2 channels"),
    ],
)
def test_wav_that_is_not_right(content, problem):
    with pytest.raises(UsageError, match=f"^here: {problem}"):
        samples(content, "here")


@pytest.mark.parametrize("frequency", [500, 1000, 2500])
def test_a_sine_is_where_it_belongs_and_as_loud_as_it_is(frequency):
    t = np.arange(RATE) / RATE
    loud, soft = (log_mel(a * np.sin(2 * np.pi * frequency * t), 40, 90)[10] for a in (0.2, 0.02))
    mel = 2595 * np.log10(1 + frequency / 700)  # the formula of O'Shaughnessy, near enough to Slaney's to find the band
    assert abs(loud.argmax() - (mel / (2595 * np.log10(1 + 4000 / 700)) * 41 - 1)) < 4
    # A fifth of full scale, 14 dB below, over bands of one to several of the transform's frequencies.
    assert loud.max() == pytest.approx(1 + 20 * np.log10(0.2) / 80, abs=4 / 80)
    assert loud.max() - soft.max() == pytest.approx(20 / 80, abs=1e-3)


@pytest.mark.parametrize("length", [100, 199, 200])
def test_a_recording_shorter_than_a_frame_has_one(length):
    x = log_mel(np.full(length, 0.5, np.float32), 8, 4)
    assert x.shape == (4, 8) and x[0].any() and not x[1:].any()


def test_silence_follows_a_short_recording_and_a_long_one_is_cut():
    sound = np.sin(np.arange(RATE).astype(np.float32))
    whole, short = log_mel(sound, 8, 98), log_mel(sound[:2000], 8, 98)
    frames = 1 + (2000 - 256) // 80
    assert (short[frames:] == 0).all() and np.allclose(short[:frames], whole[:frames], atol=1e-5)
    assert np.allclose(log_mel(sound, 8, 10), whole[:10], atol=1e-5)


# --- fsdd


def synthetic_recordings(folder):
    """Write an archive of 120 short tones in the form of the real one; return its path."""
    random = np.random.RandomState(0)
    path = folder / FILES[0].name
    with zipfile.ZipFile(path, "w") as out:
        for i, speaker in enumerate(SPEAKERS):
            for digit in range(10):
                for index in (4, 5):
                    t = np.arange(800 + random.randint(200)) / RATE
                    tone = 0.3 * np.sin(2 * np.pi * (300 + 300 * digit + 20 * i) * t) + 0.01 * random.randn(len(t))
                    out.writestr(f"recordings/{digit}_{speaker}_{index}.wav", wav((2**15 * tone).astype("<i2")))
    return [path]


def test_frames_are_kept_to_a_third_of_a_decibel_and_spikes_are_of_them():
    frames = SpokenDigits(steps=8, bands=8).with_synthetic_files(synthetic_recordings)
    spikes = SpokenDigits(steps=8, bands=8, form="spikes", delta=0.2).with_synthetic_files(synthetic_recordings)
    assert frames.arrays.x.dtype == torch.uint8 and spikes.arrays.x.shape == (120, 8, 2)
    x, z = (next(variant.batches("test", 60)).x for variant in (frames, spikes))
    assert z.shape == (8, 60, 16) and set(z.unique().tolist()) == {0, 1}
    up, down = z.split(8, dim=2)
    b = 0.2 * (up - down).cumsum(0)
    settled = (x - b).abs()[-1]
    assert (settled < 0.2 + 1 / 255).float().mean() > 0.9


def test_splits_of_fsdd():
    official, speakers = (
        SpokenDigits(steps=2, bands=4, split=split).with_synthetic_files(synthetic_recordings)
        for split in ("official", "speakers")
    )
    # 10 digits, 6 speakers, recordings 4 (a test one) and 5.
    assert [official.size(split) for split in SPLITS] == [54, 6, 60]
    assert [speakers.size(split) for split in SPLITS] == [80, 20, 20]
    for dataset in (official, speakers):
        index = torch.cat([dataset.arrays.splits[split] for split in SPLITS])
        assert sorted(index.tolist()) == list(range(120))
    # Sorted by name: digit, speaker, index.
    assert (speakers.arrays.splits["test"] % 12 // 2 == 5).all()
    assert (speakers.arrays.splits["validation"] % 12 // 2 == 4).all()
    assert (official.arrays.splits["test"] % 2 == 0).all()


def test_validation_of_fsdd_is_stratified_by_digit_and_speaker():
    """50 recordings of each digit and speaker, 5 of them for test, and a tenth of the other 45: 4.5 ± 2."""
    recordings = np.array([(digit, speaker, i) for digit in range(10) for speaker in range(6) for i in range(50)])
    validation = recordings[SpokenDigits()._splits(recordings)["validation"]]
    _, counts = np.unique(validation[:, :2], axis=0, return_counts=True)
    assert len(counts) == 60 and counts.sum() == 270 and counts.min() >= 3 and counts.max() <= 6


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("recordings/3_anna_1.wav", wav(SOUND), r"3_anna_1\.wav is not a recording of this dataset"),
        ("recordings/hello.wav", wav(SOUND), r"hello\.wav is not a recording of this dataset"),
        ("recordings/3_theo_7.wav", wav(SOUND, rate=44_100), r"3_theo_7\.wav: the wav file has 44100 Hz"),
        ("recordings/../3_theo_7.wav", wav(SOUND), "leads out of the archive"),
    ],
)
def test_archive_with_a_wrong_recording(name, content, problem, source, monkeypatch):
    (path,) = synthetic_recordings(source)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr(name, content)
    (file,) = SpokenDigits.files
    unchecked = fetch.DataFile(file.dataset, file.folder, file.name, None, None, file.inside)
    monkeypatch.setattr(SpokenDigits, "files", (unchecked,))
    with pytest.raises(UsageError, match=problem):
        SpokenDigits(steps=4, bands=4).prepare()
    assert nothing_is_left(source)


def test_options_of_fsdd():
    with pytest.raises(ValueError, match="delta would do nothing without form: spikes"):
        SpokenDigits(delta=0.1)
    for wrong in ({"bands": 3}, {"bands": 41}, {"form": "mfcc"}, {"steps": 0}):
        with pytest.raises(pydantic.ValidationError):
            DATASETS["fsdd"].checked(wrong)


def test_no_mel_band_is_empty():
    assert all(mel_bands(bands).any(1).all() for bands in range(4, 41))


def test_the_mel_bands_by_hand():
    """Five equal parts of 35.164 mel, 4000 Hz: the first band is 0 at 0, 1 at 468.85 and 0 at 937.69 Hz."""
    weights, step = mel_bands(4), 31.25 / 468.85  # from one frequency of the transform to the next
    assert weights.shape == (4, 129) and weights.dtype == np.float32
    assert weights[0, [0, 8, 15, 22, 30]] == pytest.approx(
        [0, 8 * step, 15 * step, 2 - 22 * step, 2 - 30 * step], abs=1e-4
    )
    assert weights[3, 128] == 0 < weights[3, 127]


def test_the_sample_that_ships_is_part_of_the_real_data():
    dataset = SpokenDigits.tiny()
    assert dataset.licence == "CC BY-SA 4.0"
    assert dataset.arrays.target.long().bincount().tolist() == [4] * 10
    ours = dict(archive.read(SAMPLE, PATTERN))
    theirs = dict(archive.read(real("fsdd/fsdd_recordings.zip"), PATTERN))
    assert ours.items() <= theirs.items()


def test_real_fsdd(real_source):  # noqa: F811
    real("fsdd/fsdd_recordings.zip")
    dataset = SpokenDigits(steps=3, bands=4)
    assert [dataset.size(split) for split in SPLITS] == [2430, 270, 300]
    assert dataset.arrays.target.long().bincount().tolist() == [300] * 10


# --- the same sound in few or many frames


def test_a_second_in_few_frames_is_the_mean_of_many_and_in_more_each_twice():
    tiny = SpokenFrames.tiny()
    tenth, views = tiny.arrays.x[:3].float(), {}
    for steps in (25, 50, 100, 200):
        tiny.steps = steps
        views[steps] = tiny.expanded(tiny.arrays.x[:3])
    assert torch.equal(views[100], tenth) and views[25].shape == (3, 25, 8)
    assert torch.equal(views[25][:, 4], tenth[:, 16:20].mean(1)) and torch.equal(
        views[50][:, 4], tenth[:, 8:10].mean(1)
    )
    assert torch.equal(views[200][:, 8], tenth[:, 4]) and torch.equal(views[200][:, 9], tenth[:, 4])
    assert {float(view.float().mean()) for view in views.values()} == {float(tenth.mean())}


def test_frames_of_a_second_have_the_splits_of_the_whole_recordings():
    tiny, whole = SpokenFrames.tiny(), SpokenDigits.tiny()
    assert [tiny.size(split) for split in SPLITS] == [whole.size(split) for split in SPLITS]
    (batch,), (expected,) = tiny.batches("test", 99), whole.batches("test", 99)
    assert torch.equal(batch.target, expected.target) and batch.x.shape == (25, 20, 8)
