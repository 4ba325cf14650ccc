"""The two datasets of spikes from a cochlea model: bins by hand, packed files, broken files."""

import random

import h5py
import numpy as np
import pytest

from tests.real_data import real
from throughtime.datasets.files import cache
from throughtime.datasets.spiking_audio import HeidelbergDigits, SpeechCommands, synthetic_words, write_words
from throughtime.errors import UsageError

SPLITS = ("train", "validation", "test")


# --- SHD and SSC


def test_bins_by_hand():
    dataset = HeidelbergDigits(steps=3, bin_ms=4.0)
    times, units = np.array([0.0, 0.00396, 0.004, 0.0081, 0.0119, 0.012]), np.array([0, 0, 5, 699, 5, 1])
    result = dataset.binned(times[::-1], units[::-1], "")  # in any order
    assert result.shape == (3, 700) and result.sum() == 5  # the last spike is beyond the last bin
    assert (result[0, 0], result[1, 5], result[2, 699], result[2, 5]) == (2, 1, 1, 1)


@pytest.mark.parametrize("bin_ms", [1 / 3, 2 / 3, 10 / 3, 0.1])
def test_no_bin_is_lost_in_rounding(bin_ms):
    for steps in (3, 7, 50, 100):
        result = HeidelbergDigits(steps=steps, bin_ms=bin_ms).binned(np.array([0.0, 1.0]), np.array([1, 2]), "")
        assert result.shape == (steps, 700) and result.sum() == 1


def test_a_recording_without_spikes():
    assert HeidelbergDigits(steps=3).binned(np.zeros(0), np.zeros(0, int), "").sum() == 0


@pytest.mark.parametrize("values", ["counts", "spikes"])
def test_what_is_written_is_read(values, tmp_path):
    def make(folder):
        made = [(np.array([0.001, 0.001, 0.005]), np.array([k, k, 69])) for k in range(8)]
        paths = [folder / "shd_train.h5", folder / "shd_test.h5"]
        for path in paths:
            write_words(path, made, np.arange(8), speaker=np.arange(8) // 2)
        return paths

    dataset = HeidelbergDigits(steps=2, bin_ms=4.0, values=values).with_synthetic_files(make, units=70)
    assert [dataset.arrays.splits[split].tolist() for split in SPLITS] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],  # what speakers 2 and 3 said
        list(range(8, 16)),
    ]
    x, target, _ = next(dataset.batches("validation", 9))
    assert target.tolist() == [4, 5, 6, 7]
    assert x[0].argmax(1).tolist() == [4, 5, 6, 7] and x[0].amax(1).tolist() == [2.0 if values == "counts" else 1.0] * 4
    assert x[1, :, 69].tolist() == [1] * 4 and x[1].sum() == 4


def test_official_splits_of_ssc():
    dataset = SpeechCommands.tiny()
    assert [dataset.size(split) for split in SPLITS] == [140, 35, 35]


def test_the_splits_of_ssc_are_its_files_of_that_name():
    names = [file.name for file in SpeechCommands.files]
    assert [name.partition(".")[0] for name in names] == ["ssc_train", "ssc_valid", "ssc_test"]
    file_of_each = np.array([0, 1, 2, 2, 0])
    result = SpeechCommands().splits(file_of_each, np.zeros(5))
    assert {split: rows.tolist() for split, rows in result.items()} == {
        "train": [0, 4],
        "validation": [1],
        "test": [2, 3],
    }


def broken(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def replace(name, array):
    def change(file):
        del file[name]
        file[name] = array

    return change


def set_first(name, value):
    def change(file):
        file[name][0] = value

    return change


@pytest.mark.parametrize(
    "change, problem",
    [
        (set_first("labels", 20), r"label 20 is not among 0 \.\.\. 19"),
        (
            set_first("spikes/units", np.array([70] * 20, np.uint16)),
            "recording 0: a spike of channel 70, but there are 70 channels",
        ),
        (set_first("spikes/times", np.array([-1] * 20, np.float16)), "recording 0: spikes without a valid time"),
        (set_first("spikes/times", np.array([np.nan] * 20, np.float16)), "recording 0: spikes without a valid time"),
        (set_first("spikes/times", np.array([0.1], np.float16)), "recording 0: spikes without a valid time"),
        (replace("labels", np.full(80, np.nan)), '"labels" is float64, not whole numbers'),
        (replace("extra/speaker", np.full(80, 1j)), '"extra/speaker" is complex128, not whole numbers'),
        (lambda file: file.pop("extra/speaker"), 'the file has no "extra/speaker"'),
        (lambda file: file["labels"] and None, None),
    ],
)
def test_broken_hdf5(change, problem, source, monkeypatch):
    def make(folder):
        paths = synthetic_words(HeidelbergDigits, folder)
        broken(paths[0], change)
        return paths

    dataset = HeidelbergDigits(steps=4).with_synthetic_files(make, units=70)
    if problem is None:  # nothing was broken
        assert dataset.size("test") == 20
    else:
        with pytest.raises(UsageError, match=problem):
            dataset.size("test")


def test_no_hdf5_and_half_of_one(tmp_path):
    def make(content):
        def make(folder):
            paths = synthetic_words(HeidelbergDigits, folder)
            paths[1].write_bytes(content(paths[1].read_bytes()))
            return paths

        return make

    for content in (lambda whole: b"<!DOCTYPE html>", lambda whole: whole[: len(whole) // 2]):
        with pytest.raises(UsageError, match=r"shd_test\.h5: not an HDF5 file, or truncated"):
            HeidelbergDigits(steps=4).with_synthetic_files(make(content), units=70).size("train")


def test_urls_and_checksums_are_tonics():
    from tonic.datasets import SHD, SSC

    result = {
        file.origin().urls[0]: file.origin().checksum
        for kind in (HeidelbergDigits, SpeechCommands)
        for file in kind.files
    }
    expected = {SHD.base_url + SHD.train_zip: SHD.train_md5, SHD.base_url + SHD.test_zip: SHD.test_md5}
    expected |= {
        SSC.base_url + f"ssc_{part}.h5.zip": getattr(SSC, f"{part}_md5") for part in ("train", "valid", "test")
    }
    assert result == {url: f"md5:{md5}" for url, md5 in expected.items()}


def test_real_spikes_of_a_cochlea_model():
    """60 real recordings in the same layout, with 70 channels and 10 classes."""
    path = real("fsdd/fsdd_shd60_ch70.h5")
    dataset = HeidelbergDigits(steps=100, bin_ms=10.0, values="counts").with_synthetic_files(
        lambda folder: [path, path], units=70
    )
    assert [dataset.size(split) for split in SPLITS] == [40, 20, 60]
    with h5py.File(path) as file:
        spikes = [int((times < 1).sum()) for times in file["spikes/times"][:]]
    x, target, _ = next(dataset.batches("test", 60))
    assert x.sum((0, 2)).tolist() == spikes and target.tolist() == sorted(target.tolist())


def test_damaged_files_are_named_whatever_the_library_raises_and_leave_nothing_in_the_cache(tmp_path):
    dataset, paths = HeidelbergDigits.tiny(), synthetic_words(HeidelbergDigits, tmp_path)
    whole, damaged = paths[0].read_bytes(), 0
    for seed in range(60):
        dice, content = random.Random(seed), bytearray(whole)
        for _ in range(dice.choice([5, 50, 500])):
            content[dice.randrange(6000)] = dice.randrange(256)
        paths[0].write_bytes(content)
        try:
            cache.prepared(tmp_path, "shd", {"seed": seed}, lambda folder: dataset.build(paths, folder))
        except UsageError as error:
            damaged += 1
            assert str(paths[0]) in str(error)
            assert not [path for path in (tmp_path / "prepared").glob(".*") if path.is_dir()]
    assert damaged > 40


def test_a_group_in_place_of_an_array_is_named(tmp_path):
    dataset, paths = HeidelbergDigits.tiny(), synthetic_words(HeidelbergDigits, tmp_path)
    with h5py.File(paths[0], "a") as file:
        del file["labels"]
        file.create_group("labels")
    with pytest.raises(UsageError, match=r'\.h5: "labels" is not an array'):
        dataset.build(paths, tmp_path)


def link(file):
    file["labels"] = h5py.ExternalLink("other.h5", "labels")


def link_above(file):
    del file["spikes"]
    file["spikes"] = h5py.ExternalLink("other.h5", "spikes")


def raw_bytes(file):
    file.create_dataset("labels", (80,), "u2", external=[("other.h5", 0, 160)])


def virtual(file):
    layout = h5py.VirtualLayout((80,), "u2")
    layout[:] = h5py.VirtualSource("other.h5", "labels", (80,))
    file.create_virtual_dataset("labels", layout)


@pytest.mark.parametrize("change", [link, link_above, raw_bytes, virtual])
def test_numbers_of_another_file_are_not_read(change, tmp_path):
    """The checksum of the file says nothing about them, and they may be any file of the user."""
    dataset, paths = HeidelbergDigits.tiny(), synthetic_words(HeidelbergDigits, tmp_path)
    (tmp_path / "other.h5").write_bytes(paths[0].read_bytes())
    with h5py.File(paths[0], "a") as file:
        if change is not link_above:
            del file["labels"]
        change(file)
    with pytest.raises(UsageError, match=r'shd_train\.h5: "(labels|spikes/times)" is in another file'):
        dataset.build(paths, tmp_path)


def test_more_recordings_than_there_are_in_the_world(tmp_path):
    """A sparse array of 2**33 labels needs a few bytes of disk, and 64 GiB of memory."""
    dataset, paths = HeidelbergDigits.tiny(), synthetic_words(HeidelbergDigits, tmp_path)
    with h5py.File(paths[0], "a") as file:
        for name in ("labels", "extra/speaker", "spikes/times", "spikes/units"):
            kind = file[name].dtype
            del file[name]
            file.create_dataset(name, (2**33,), kind, chunks=(1024,))
    with pytest.raises(UsageError, match=r"\.h5: 8589934592 recordings; there are at most 10000000"):
        dataset.build(paths, tmp_path)


@pytest.mark.parametrize("channel", [-1, 0.5])
def test_a_channel_that_is_none(channel):
    with pytest.raises(UsageError, match=f"here: a spike of channel {channel}, but there are 700 channels"):
        HeidelbergDigits(steps=3).binned(np.array([0.0, 0.1]), np.array([0, channel]), "here")


def test_spikes_long_after_the_last_bin_do_not_count():
    assert HeidelbergDigits(steps=3).binned(np.array([0.0, 1e300]), np.array([0, 1]), "").sum() == 1
