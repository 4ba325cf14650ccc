"""Frames of events by hand and against tonic; the three datasets of event cameras, and broken recordings."""

import io
import random
import shutil
import struct
import tarfile
import zipfile

import numpy as np
import pydantic
import pytest
import torch

from tests.real_data import real, real_source  # noqa: F401
from throughtime.datasets import frames
from throughtime.datasets.aedat import AedatReader
from throughtime.datasets.cifar10_dvs import CIFAR, Cifar10DVS, aedat4_bytes, synthetic_cifar
from throughtime.datasets.dvs_gesture import GESTURE, Gesture, gesture_bytes, synthetic_gestures
from throughtime.datasets.dvs_gesture_official import OFFICIAL, OfficialGesture, aedat3_bytes, synthetic_trials
from throughtime.datasets.event_recordings import EVENT, synthetic_events
from throughtime.datasets.files import fetch
from throughtime.datasets.frames import Sensor
from throughtime.datasets.nmnist import NMNIST, NMNIST_1100, NeuromorphicMNIST, nmnist_bytes, synthetic_nmnist
from throughtime.errors import UsageError
from throughtime.registry import DATASETS

SPLITS = ("train", "validation", "test")


def events(*rows):
    """Events (t, x, y, p)."""
    made = np.empty(len(rows), EVENT)
    for field, column in zip(("t", "x", "y", "p"), zip(*rows, strict=True), strict=True):
        made[field] = column
    return made


FOUR = events((0, 0, 0, 0), (10, 1, 0, 1), (20, 3, 2, 1), (90, 3, 3, 1), (100, 0, 0, 0))


# --- frames


def test_frames_by_time_by_hand():
    result = frames.to_frames(FOUR, Sensor(4, 4), 2, "time")  # 0 ... 49 and 50 ... 99: the last event is beyond
    expected = np.zeros((2, 2, 4, 4))
    expected[0, 0, 0, 0] = expected[0, 1, 0, 1] = expected[0, 1, 2, 3] = expected[1, 1, 3, 3] = 1
    assert (result == expected).all()


def test_frames_by_count_by_hand():
    result = frames.to_frames(FOUR, Sensor(4, 4), 2, "count")  # two events each, one is left over
    expected = np.zeros((2, 2, 4, 4))
    expected[0, 0, 0, 0] = expected[0, 1, 0, 1] = expected[1, 1, 2, 3] = expected[1, 1, 3, 3] = 1
    assert (result == expected).all()


@pytest.mark.parametrize("by", ["time", "count"])
def test_the_last_frame_takes_the_remainder_if_asked(by):
    dropped = frames.to_frames(FOUR, Sensor(4, 4), 2, by)
    result = frames.to_frames(FOUR, Sensor(4, 4), 2, by, remainder="last_frame")
    dropped[1, 0, 0, 0] += 1  # the event at 100 µs, the fifth
    assert (result == dropped).all()


@pytest.mark.parametrize("by", ["time", "count"])
def test_no_event_is_lost_with_the_remainder_in_the_last_frame(by):
    made = synthetic_events(np.random.RandomState(0), 1, Sensor(8, 4), count=999)
    result = frames.to_frames(made, Sensor(8, 4), 500, by, pool=2, remainder="last_frame")
    dropped = frames.to_frames(made, Sensor(8, 4), 500, by, pool=2)
    assert result.sum() == 999 > dropped.sum() and (result[:-1] == dropped[:-1]).all()
    if by == "count":
        assert result[-1].sum() == 1 + 499


@pytest.mark.parametrize("by", ["time", "count"])
def test_pooling_sums_blocks(by):
    sensor, random = Sensor(8, 4), np.random.RandomState(0)
    made = synthetic_events(random, 1, sensor, count=500)
    fine = frames.to_frames(made, sensor, 5, by)
    blocks = fine.reshape(5, 2, 2, 2, 4, 2).sum((3, 5))
    assert (frames.to_frames(made, sensor, 5, by, pool=2) == blocks).all()


@pytest.mark.parametrize("by", ["time", "count"])
def test_counts_of_large_blocks_do_not_overflow(by):
    made = synthetic_events(np.random.RandomState(0), 1, Sensor(8, 4), count=100_000)
    result = frames.to_frames(made, Sensor(8, 4), 1, by, pool=4, remainder="last_frame")
    assert result.min() >= 0 and result.max() > 2**15 and result.sum() == 100_000


def test_events_are_not_changed():
    before = FOUR.copy()
    frames.to_frames(FOUR, Sensor(4, 4), 2, "time", pool=2)
    assert (before == FOUR).all()


@pytest.mark.parametrize(
    "wrong, problem",
    [
        (events((0, 0, 0, 0)), "1 events are too few for 3 frames"),
        (FOUR[[0, 2, 1, 3]], "events out of order: event 2 is earlier than the one before it"),
        (events((0, 0, 0, 0), (5, 4, 0, 0), (9, 0, 0, 0)), r"event 1 has x = 4, outside 0 \.\.\. 3"),
        (events((0, 0, 0, 0), (5, 0, 0, 0), (9, 0, -1, 0)), r"event 2 has y = -1, outside 0 \.\.\. 3"),
        (events((0, 0, 0, 2), (5, 0, 0, 0), (9, 0, 0, 0)), r"event 0 has p = 2, outside 0 \.\.\. 1"),
        (events((7, 0, 0, 0), (7, 0, 0, 0), (9, 0, 0, 0)), "all events lie within 2 µs, too short for 3 frames"),
    ],
)
def test_events_that_are_not_right(wrong, problem):
    with pytest.raises(UsageError, match=f"^somewhere: {problem}"):
        frames.checked(wrong, Sensor(4, 4), 3, "somewhere")
    assert frames.checked(FOUR, Sensor(4, 4), 3, "") is FOUR


# --- the three datasets, on made recordings

KINDS = {
    "nmnist": (NeuromorphicMNIST, NMNIST, synthetic_nmnist, nmnist_bytes),
    "dvsgesture": (Gesture, GESTURE, synthetic_gestures, gesture_bytes),
    "cifar10dvs": (Cifar10DVS, CIFAR, synthetic_cifar, lambda made: aedat4_bytes(made, Cifar10DVS.sensor)),
    "dvsgesture_official": (OfficialGesture, OFFICIAL, synthetic_trials, aedat3_bytes),
}


@pytest.mark.parametrize("name", KINDS)
def test_events_there_and_back(name):
    kind, _, _, written = KINDS[name]
    made = synthetic_events(np.random.RandomState(1), 2, kind.sensor)
    made["t"] = made["t"] // 1000 * 1000  # the gestures' files hold milliseconds
    read = kind().events(written(made), "here")
    assert all((read[field] == made[field]).all() for field in EVENT.names)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("values", ["counts", "spikes"])
def test_frames_come_out_as_they_go_in(name, values):
    kind, _, make, _ = KINDS[name]
    dataset = kind(steps=4, pool=2, values=values).with_synthetic_files(make)
    counts = kind(steps=4, pool=2).with_synthetic_files(make)
    x, whole = (next(variant.batches("test", 100)).x for variant in (dataset, counts))
    assert torch.equal(x, whole if values == "counts" else (whole > 0).float())
    assert x.shape[2] == 2 * (kind.sensor.width // 2) * (kind.sensor.height // 2)
    # Each recording has 200 events: a mean over blocks of four pixels.
    assert (4 * whole.sum((0, 2)) > 190).all() and (4 * whole.sum((0, 2)) <= 200).all()


def test_counts_above_255_are_kept(tmp_path):
    many = events(*((t, 3, 3, 1) for t in range(1000)), (1000, 0, 0, 0))

    def make(folder):
        paths = synthetic_nmnist(folder)
        with zipfile.ZipFile(paths[0], "a") as out:
            out.writestr("Train/3/99999.bin", nmnist_bytes(many))
        return paths

    dataset = NeuromorphicMNIST(steps=1).with_synthetic_files(make)
    assert dataset.arrays.x.dtype == torch.int16
    assert max(float(batch.x.max()) for split in SPLITS for batch in dataset.batches(split, 50)) == 1000


def test_nobody_is_in_two_splits_of_the_gestures():
    dataset = Gesture(steps=2, pool=16).with_synthetic_files(synthetic_gestures)
    # People 1, 2 and 20 in the first archive, 24 in the second, 11 gestures each, in the order of their names.
    assert [dataset.arrays.splits[split].tolist() for split in SPLITS] == [
        list(range(22)),
        list(range(22, 33)),
        list(range(33, 44)),
    ]


def test_every_class_has_its_share_in_each_split_of_cifar10_dvs():
    dataset = Cifar10DVS.tiny()
    index, labels = dataset.arrays.splits, dataset.arrays.target.long()
    assert sorted(torch.cat([index[split] for split in SPLITS]).tolist()) == list(range(40))
    assert labels[index["train"]].bincount(minlength=10).min() >= 3


# --- broken files


def archive_with(kind_name, source, monkeypatch, content):
    """Write a dataset's made archives, the content of one recording replaced; checksums are not tested."""
    kind, files, make, _ = KINDS[kind_name]
    unchecked = tuple(fetch.DataFile(f.dataset, f.folder, f.name, None, None, f.inside, f.also) for f in files)
    monkeypatch.setattr(kind, "files", unchecked)
    paths = make(source)
    if content is None:
        return kind
    if kind_name == "dvsgesture":
        with tarfile.open(paths[0]) as old:
            names = old.getnames()
            kept = {name: old.extractfile(name).read() for name in names}
        with tarfile.open(paths[0], "w:gz") as out:
            for name in names:
                data = content if name == names[5] else kept[name]
                member = tarfile.TarInfo(name)
                member.size = len(data)
                out.addfile(member, io.BytesIO(data))
    else:
        extra = {"nmnist": "Train/0/00077.bin", "cifar10dvs": "cat/cifar10_cat_77.aedat4"}[kind_name]
        with zipfile.ZipFile(paths[0], "a") as out:
            out.writestr(extra, content)
    return kind


def npy(rows):
    """The content of a file with this array."""
    out = io.BytesIO()
    np.save(out, np.array(rows))
    return out.getvalue()


BACK = events(*((9000 - 1000 * t, 3, 3, 0) for t in range(9)))
OUTSIDE = events(*((1000 * t, 3, 130 if t == 4 else 3, 0) for t in range(9)))
FAR = events(*((1000 * t, 3, 100 if t == 4 else 3, 0) for t in range(9)))


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("nmnist", b"1234567", r"00077\.bin: truncated: 7 bytes, which is no multiple of the 5 bytes of an event"),
        ("nmnist", b"", r"00077\.bin: 0 events are too few for 5 frames"),
        ("nmnist", nmnist_bytes(BACK), r"00077\.bin: events out of order: event 1"),
        ("nmnist", nmnist_bytes(FAR), r"00077\.bin: event 4 has y = 100, outside 0 \.\.\. 33"),
        ("dvsgesture", b"not numpy", r"\.npy: not an array file, or truncated"),
        ("dvsgesture", npy([["a"] * 4] * 9), r"\.npy: the array is <U1 \[9, 4\]; expected whole numbers \[events, 4\]"),
        ("dvsgesture", npy([[0.5] * 4] * 9), r"\.npy: the array is float64 \[9, 4\]; expected whole numbers"),
        ("dvsgesture", npy([[2**16, 0, 0, t] for t in range(9)]), r"\.npy: event 0 has x = 65536, outside 0"),
        ("dvsgesture", npy([[0, 0, 0, 2**60]] * 9), r"\.npy: event 0 has t = 1152921504606846976, outside 0"),
        ("dvsgesture", gesture_bytes(FOUR)[:-8], r"\.npy: not an array file, or truncated"),
        ("dvsgesture", gesture_bytes(OUTSIDE), r"\.npy: event 4 has y = 130, outside 0 \.\.\. 127"),
        ("dvsgesture", gesture_bytes(BACK), r"\.npy: events out of order"),
        ("cifar10dvs", b"not aedat", r"\.aedat4: not an AEDAT4 file, or truncated"),
        ("cifar10dvs", aedat4_bytes(FOUR, Sensor(128, 128))[:-9], r"\.aedat4: not an AEDAT4 file, or truncated"),
        ("cifar10dvs", aedat4_bytes(OUTSIDE, Sensor(128, 128)), r"\.aedat4: event 4 has y = 130"),
    ],
)
def test_broken_recordings(name, content, problem, source, monkeypatch, tmp_path):
    kind = archive_with(name, source, monkeypatch, content)
    with pytest.raises(UsageError, match=problem):
        kind(steps=5).prepare()
    assert not [path for path in (tmp_path / "cache" / "prepared").glob("*") if path.is_dir()]


def test_whatever_the_decoder_of_aedat_does_is_an_error_and_the_next_file_is_read():
    """Seeds 56 and 80 make the decoder abort its process, others make it panic, which is no Exception."""
    whole = aedat4_bytes(synthetic_events(np.random.RandomState(0), 0, Cifar10DVS.sensor), Cifar10DVS.sensor)
    told = []
    with AedatReader() as reader:
        for seed in (*range(20), 56, 80):
            dice, content = random.Random(seed), bytearray(whole)
            for _ in range(5):
                content[dice.randrange(600)] = dice.randrange(256)
            try:
                reader.events(bytes(content), "here")
            except UsageError as error:
                told.append(str(error))
        assert len(reader.events(whole, "here")) == 200
    assert len(told) > 15 and all(line.startswith("here: not an AEDAT4 file, or truncated: ") for line in told)
    assert told[-2:] == ["here: not an AEDAT4 file, or truncated: the decoder crashed"] * 2
    assert any("out of range" in line for line in told), "the words of a panic"


@pytest.mark.parametrize(
    "dataset, member",
    [(NeuromorphicMNIST(part="1100"), "NMNIST/Train/5/00001.bin"), (Gesture(part="10"), "0_hand_clapping.bin")],
)
def test_the_parts_are_found_unpacked(dataset, member, source):
    (file,) = dataset.needed()
    place = source / file.name.removesuffix(".zip") / member
    place.parent.mkdir(parents=True)
    place.write_bytes(nmnist_bytes(FOUR))
    with pytest.raises(UsageError, match="wrong checksum: SHA-256"):
        dataset.prepare()


def test_label_and_list_that_are_none(source, monkeypatch):
    kind = archive_with("nmnist", source, monkeypatch, None)
    with zipfile.ZipFile(source / "train.zip", "a") as out:
        out.writestr("Train/x/00001.bin", nmnist_bytes(FOUR))
    with pytest.raises(UsageError, match=r"label -1 is not among 0 \.\.\. 9"):
        kind(steps=2).prepare()
    kind = archive_with("dvsgesture", source, monkeypatch, None)
    shutil.copy(source / "ibmGestureTrain.tar.gz", source / "ibmGestureTest.tar.gz")
    with pytest.raises(UsageError, match="is in the wrong official list"):
        kind(steps=2).prepare()


def test_people_that_are_not_there_leave_a_split_empty(source, monkeypatch):
    kind = archive_with("dvsgesture", source, monkeypatch, None)
    with tarfile.open(source / "ibmGestureTrain.tar.gz") as old:
        kept = {name: old.extractfile(name).read() for name in old.getnames() if "user20" not in name}
    with tarfile.open(source / "ibmGestureTrain.tar.gz", "w:gz") as out:
        for name, content in kept.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    with pytest.raises(UsageError, match="no sequence is left for the validation split"):
        kind(steps=2).prepare()
    assert not [path for path in (source.parent / "cache" / "prepared").glob("*") if path.is_dir()]


def test_urls_and_checksums_are_tonics():
    from tonic.datasets import CIFAR10DVS, DVSGesture
    from tonic.datasets import NMNIST as TONIC

    result = [(*file.origin().urls, file.origin().checksum) for file in (*NMNIST, *GESTURE, *CIFAR)]
    assert result == [
        (TONIC.train_url, f"md5:{TONIC.train_md5}"),
        (TONIC.test_url, f"md5:{TONIC.test_md5}"),
        (DVSGesture.train_url, f"md5:{DVSGesture.train_md5}"),
        (DVSGesture.test_url, f"md5:{DVSGesture.test_md5}"),
        (CIFAR10DVS.url, f"md5:{CIFAR10DVS.file_md5}"),
    ]


def test_options():
    for name, wrong in (("nmnist", {"pool": 4}), ("dvsgesture", {"by": "frames"}), ("cifar10dvs", {"steps": 0})):
        with pytest.raises(pydantic.ValidationError):
            DATASETS[name].checked(wrong)


# --- real recordings, where they are


def test_part_of_nmnist(real_source):  # noqa: F811
    real("events/nmnist_1100.zip")
    dataset = NeuromorphicMNIST(steps=10)
    assert dataset.needed() == NMNIST_1100
    assert [dataset.size(split) for split in SPLITS] == [900, 100, 100]
    assert dataset.arrays.x.dtype == torch.uint8
    # MNIST's first labels: the recordings have their order.
    with zipfile.ZipFile(real("events/nmnist_1100.zip")) as file:
        named = {name.split("/")[3]: int(name.split("/")[2]) for name in file.namelist() if "Train" in name}
    assert [named[f"{i:05}.bin"] for i in range(1, 11)] == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    with pytest.raises(UsageError, match=r"nmnist: train\.zip is not here"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "downloader", lambda: lambda *a: (_ for _ in ()).throw(OSError(0, "refused")))
        NeuromorphicMNIST(part="full").prepare()


def test_real_gestures_in_tonics_form(tmp_path):
    """Ten real recordings, of which the labels are not sure, in the layout of the official archives."""
    with zipfile.ZipFile(real("events/dvsgesture_10.zip")) as file:
        result = [file.read(name) for name in sorted(file.namelist()) if name.endswith(".bin")]

    def make(folder):
        paths = [folder / file.name for file in GESTURE]
        for path, people in zip(paths, ((1, 20), (24,)), strict=True):
            with tarfile.open(path, "w:gz", compresslevel=1) as out:
                for person in people:
                    for label in (0, 1):
                        content = gesture_bytes(NeuromorphicMNIST().events(result[(person + label) % 10], ""))
                        member = tarfile.TarInfo(f"user{person:02}_led/{label}.npy")
                        member.size = len(content)
                        out.addfile(member, io.BytesIO(content))
        return paths

    dataset = Gesture().with_synthetic_files(make)
    x, target, _ = next(dataset.batches("train", 2))
    assert x.shape == (20, 2, 2048) and target.tolist() == [0, 1]
    per_frame = 16 * x.sum(2)  # counts are means over 16 pixels
    assert (per_frame == per_frame[0]).all() and (per_frame > 1000).all()


def test_ten_real_gestures(real_source):  # noqa: F811
    """The part with ten recordings: each split is all of them, one of each of the first ten classes."""
    real("events/dvsgesture_10.zip")
    dataset = Gesture(part="10", steps=10, pool=2)
    assert [dataset.size(split) for split in SPLITS] == [10, 10, 10]
    x, target, _ = next(dataset.batches("test", 10))
    assert x.shape == (10, 10, 2 * 64 * 64) and target.tolist() == list(range(10))
    assert "the same ten recordings" in str(dataset.remark()) and Gesture().remark() is None
    per_frame = 4 * x.sum(2)
    assert (per_frame == per_frame[0]).all() and (per_frame > 1000).all()


def test_real_aedat4():
    with zipfile.ZipFile(real("events/format_samples.zip")) as file:
        content = file.read("sample.aedat4")
    read = Cifar10DVS().events(content, "sample")
    assert len(read) == 111_954 and read["t"][-1] - read["t"][0] == 589_917
    assert frames.checked(read, Sensor(320, 240), 10, "sample") is read
    with pytest.raises(UsageError, match="truncated"):
        Cifar10DVS().events(content[:400_000], "sample")


def test_header_of_the_made_aedat4_is_as_the_format_says():
    content = aedat4_bytes(FOUR, Sensor(4, 4))
    assert content.startswith(b"#!AER-DAT4.0\r\n")
    (size,) = struct.unpack("<I", content[14:18])
    assert content[22:26] == b"IOHE" and content[18 + size + 16 : 18 + size + 20] == b"EVTS"
