"""Sequences of the user's own: folders of npz files and ts files, padded, split, and messages about broken ones."""

import math
import shutil
import zipfile

import numpy as np
import pytest
import torch

from throughtime.datasets.files import fetch
from throughtime.datasets.npz_folder import NpzFolder
from throughtime.datasets.task import Classification, Regression
from throughtime.datasets.ts_archive import TimeSeriesArchive, read_ts
from throughtime.errors import UsageError

SPLITS = ("train", "validation", "test")
RANDOM = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.DATA, "")
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))


def npz(folder, y, n=20, test=4, **more):
    """Write train.npz and test.npz: x [n, 5, 3], y as `y(n)` says."""
    folder.mkdir(exist_ok=True)
    for name, count in (("train", n), ("test", test)):
        x = RANDOM.random_sample((count, 5, 3)).astype(np.float32)
        np.savez(
            folder / f"{name}.npz", **{"x": x, "y": y(count), **{key: array(count) for key, array in more.items()}}
        )
    return NpzFolder(path=str(folder))


CLASSES = {"y": lambda n: np.arange(n) % 4}


# --- npz


def test_a_class_a_sequence(tmp_path):
    dataset = npz(tmp_path / "a", **CLASSES)
    assert (dataset.steps, dataset.inputs, dataset.outputs, dataset.task.per_step) == (5, 3, 4, False)
    assert isinstance(dataset.task, Classification)
    train = dataset.arrays.target[dataset.arrays.splits["train"]].bincount()
    assert dataset.task.metric.chance == pytest.approx(float(train.max() / 18))
    assert [dataset.size(split) for split in SPLITS] == [18, 2, 4]
    x, target, _ = next(dataset.batches("test", 9))
    with np.load(tmp_path / "a" / "test.npz") as file:
        assert torch.equal(x, torch.from_numpy(file["x"]).transpose(0, 1)) and target.tolist() == file["y"].tolist()


def test_a_class_a_step(tmp_path):
    dataset = npz(tmp_path / "a", lambda n: np.tile([-1, 0, 1, 2, -1], (n, 1)))
    assert dataset.task.per_step and dataset.outputs == 3
    assert next(dataset.batches("test", 2)).target.T.tolist() == [[-1, 0, 1, 2, -1]] * 2


def test_numbers(tmp_path):
    dataset = npz(tmp_path / "a", lambda n: np.stack([np.arange(n), -np.arange(n)], 1).astype(float), n=20)
    assert not dataset.task.per_step and dataset.outputs == 2 and isinstance(dataset.task, Regression)
    train = torch.cat([batch.target for batch in dataset.batches("train", 30)])
    assert dataset.task.metric.chance == pytest.approx(float(train.var(0, unbiased=False).mean()))


def test_numbers_a_step(tmp_path):
    def y(n):
        curve = np.tile(np.arange(5.0), (n, 1))[:, :, None]
        curve[:, 3] = np.nan
        return curve

    dataset = npz(tmp_path / "a", y)
    assert dataset.task.per_step and dataset.outputs == 1
    assert dataset.task.metric.chance == pytest.approx(np.var([0, 1, 2, 4]))
    target = next(dataset.batches("test", 4)).target
    assert target.shape == (5, 4, 1) and target[:, 0, 0].isnan().tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_shorter_is_padded_and_not_asked(tmp_path, whole):
    def y(n):
        return np.ones((n, 5), int) * (np.arange(n) % 2)[:, None] if whole else np.ones((n, 5, 1))

    dataset = npz(tmp_path / "a", y, length=lambda n: np.arange(n) % 5 + 1)
    x, target, _ = next(dataset.batches("test", 4))  # 1, 2, 3 and 4 steps
    for i in range(4):
        assert (x[: i + 1, i] > 0).all() and (x[i + 1 :, i] == 0).all()
        padding = target[i + 1 :, i]
        assert (padding == -1).all() if whole else padding.isnan().all()
        assert (target[: i + 1, i] >= 0).all()


def test_a_file_a_sequence(tmp_path):
    for split, n in (("train", 12), ("validation", 3), ("test", 2)):
        (tmp_path / "a" / split).mkdir(parents=True)
        for i in range(n):
            np.savez(tmp_path / "a" / split / f"{i:02}.npz", x=np.full((i + 1, 2), i, np.uint8), y=i % 2)
    dataset = NpzFolder(path=str(tmp_path / "a"))
    assert dataset.arrays.x.dtype == torch.uint8 and dataset.steps == 12
    assert [dataset.size(split) for split in SPLITS] == [12, 3, 2]
    batch = next(dataset.batches("validation", 3))
    assert batch.x[:, :, 0].sum(0).tolist() == [0, 2, 6]
    assert batch.target.T.tolist() == [[-1] * i + [k] + [-1] * (11 - i) for i, k in enumerate((0, 1, 0))]
    at_end = NpzFolder(path=str(tmp_path / "a"), label_at="end")
    assert next(at_end.batches("validation", 3)).target.tolist() == [0, 1, 0]


def test_a_sequence_in_a_file_of_its_own_may_be_called_as_a_split(tmp_path):
    npz(tmp_path / "a", **CLASSES)
    (tmp_path / "a" / "train.npz").unlink()
    (tmp_path / "a" / "train").mkdir()
    for i, name in enumerate(("train", "u", "v", "w")):
        np.savez(tmp_path / "a" / "train" / f"{name}.npz", x=np.ones((5, 3)), y=i)
    assert [NpzFolder(path=str(tmp_path / "a")).size(split) for split in SPLITS] == [3, 1, 4]
    np.savez(tmp_path / "a" / "train" / "v.npz", x=np.ones((5, 3)), y=2, length=3)
    with pytest.raises(UsageError, match=r"v\.npz: length in the file of one sequence"):
        NpzFolder(path=str(tmp_path / "a")).prepare()


@pytest.mark.parametrize("lengths", [(5, 3), (5, 5)])
def test_a_number_counts_at_the_sequences_own_last_step(tmp_path, lengths):
    def y(n):
        return np.arange(n)[:, None] + 0.5

    dataset = npz(tmp_path / "a", y, length=lambda n: np.resize(lengths, n))
    target = next(dataset.batches("test", 2)).target
    if lengths == (5, 5):
        assert not dataset.task.per_step and target.tolist() == [[0.5], [1.5]]
    else:
        assert dataset.task.per_step and dataset.task.metric.chance == pytest.approx(train_variance(dataset))
        assert target[4, 0].tolist() == [0.5] and target[2, 1].tolist() == [1.5]
        assert int(target.isnan().sum()) == 8, "all other steps have no label"


def train_variance(dataset):
    target = torch.cat([batch.target.flatten(0, 1) for batch in dataset.batches("train", 30)])
    return float(target[~target.isnan()].var(unbiased=False))


def test_a_class_counts_at_the_own_last_step_when_it_is_evaluated(tmp_path):
    """Accuracy by hand: the output is the input, and only at the last step before the padding it names the class."""
    y = lambda n: np.arange(n) % 2  # noqa: E731
    x = np.zeros((20, 5, 3), np.float32)
    for i in range(20):
        x[i, i % 4 + 1, i % 2] = 1
    lengths = np.arange(20) % 4 + 2
    dataset = npz(tmp_path / "a", y, x=lambda n: x[:n], length=lambda n: lengths[:n])
    batch = next(dataset.batches("test", 4))
    rows = dataset.task.labelled(batch.target.flatten(0, 1))
    assert int(rows.sum()) == 4
    assert dataset.task.score(batch.x.flatten(0, 1)[rows], batch.target.flatten(0, 1)[rows]).tolist() == [1, 1, 1, 1]


def test_where_a_label_counts_is_no_option_of_labels_a_step(tmp_path):
    folder = npz(tmp_path / "a", lambda n: np.zeros((n, 5), int) + np.arange(5)).path
    with pytest.raises(UsageError, match=r"y has a label a step: label_at would do nothing"):
        NpzFolder(path=str(folder), label_at="last").prepare()


def test_changed_files_are_other_data(tmp_path):
    first = npz(tmp_path / "a", **CLASSES).sha256()
    assert NpzFolder(path=str(tmp_path / "a")).sha256() == first
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    assert NpzFolder(path=str(tmp_path / "elsewhere")).sha256() == first
    assert npz(tmp_path / "a", **CLASSES).sha256() != first  # x is drawn anew


def spoilt(where, value):
    def x(n):
        made = np.ones((n, 5, 3))
        made[where] = value
        return made

    return x


@pytest.mark.parametrize(
    "arrays, problem",
    [
        ({**CLASSES, "x": spoilt((3, 2), np.nan)}, r"train\.npz: sequence 3: NaN or infinity in x at step 2"),
        ({**CLASSES, "x": spoilt((3, 2), np.inf)}, r"train\.npz: sequence 3: NaN or infinity"),
        ({"y": lambda n: np.arange(n + 1)}, r"train\.npz: x is \[20, 5, 3\] and y \[21\]"),
        ({"y": lambda n: np.arange(n) - 1}, r"train\.npz: sequence 0: target -1"),
        ({"y": lambda n: np.zeros((n, 4), int)}, r"train\.npz: sequence 0: 5 steps, but 4 targets"),
        ({"y": lambda n: np.zeros((n, 5), int) - 2}, r"class -2: they begin at 0"),
        ({"y": lambda n: np.zeros(n, int)}, "all of one class"),
        ({"y": lambda n: np.arange(n) + 2**62}, r"train\.npz: class \d+: there are at most 100000 classes"),
        (
            {"y": lambda n: np.arange(n, dtype=np.uint64) + np.uint64(2**64 - 99)},
            r"class \d+: there are at most 100000",
        ),
        (
            {"y": lambda n: np.arange(n) + (n == 4) * 30},
            r"test\.npz: class 33 in the test split, but train has none above",
        ),
        ({"y": lambda n: np.full((n, 1), np.nan)}, r"train\.npz: sequence 0: target \[nan\]"),
        ({"y": lambda n: np.arange(n) / 2}, r"train\.npz: y is float32 \[sequences\]: whole numbers are classes"),
        ({"y": lambda n: np.ones((n, 2, 2), int)}, r"train\.npz: y is int64 \[sequences, 2, 2\]: whole numbers are"),
        ({"y": lambda n: np.array(["a"] * n)}, r"train\.npz: y is <U1, not numbers"),
        (
            {**CLASSES, "layout": lambda _: np.array(["1", "1", "3"])},
            r"the layout \('1', '1', '3'\) is not three integers",
        ),
        (
            {**CLASSES, "layout": lambda _: np.array([-1, -1, 3])},
            r"the layout \(-1, -1, 3\) is not three integers above 0",
        ),
        ({**CLASSES, "length": lambda n: np.full(n, 6)}, r"length is not one of 1 \.\.\. 5"),
        ({**CLASSES, "x": lambda n: np.ones((n, 5))}, r"x is \[20, 5\] and y \[20\], where x is"),
        ({**CLASSES, "x": lambda n: np.ones((n, 5, 3 + (n == 4)))}, r"test\.npz: sequence 0: x \[5, 4\] and y \[\]"),
        ({"y": lambda n: np.array(1)}, r"train\.npz: x is \[20, 5, 3\] and y \[\]"),
        ({**CLASSES, "x": lambda n: np.ones((n, 5, 0))}, r"train\.npz: sequence 0: x is \[5, 0\], where"),
        (
            {**CLASSES, "x": lambda n: np.full((n, 5, 3), 2**31)},
            r"sequence 0: whole numbers in x that need more",
        ),
        ({"y": lambda n: np.full((n, 5, 1), np.nan)}, r"train\.npz: no label: all of y is NaN"),
        (
            {"y": lambda n: np.tile([[np.nan, np.nan], [1, 2], [1, np.nan], [1, 2], [1, 2]], (n, 1, 1))},
            r"train\.npz: sequence 0: y has numbers and NaN at step 2",
        ),
    ],
)
def test_npz_that_do_not_fit(arrays, problem, tmp_path):
    dataset = npz(tmp_path / "a", **arrays)
    with pytest.raises(UsageError, match=problem):
        dataset.prepare()
    assert not [path for path in (tmp_path / "cache" / "prepared").glob("*") if path.is_dir()]


@pytest.mark.parametrize("y", [lambda n: np.arange(1, n + 1), lambda n: np.ones((n, 1))])
def test_one_training_sequence_cannot_be_split(tmp_path, y):
    with pytest.raises(UsageError, match="no sequence is left for the train split"):
        npz(tmp_path / "a", y, n=1, test=1).prepare()


def test_the_only_sequence_of_a_class_may_be_held_out(tmp_path):
    dataset = npz(tmp_path / "a", lambda n: np.where(np.arange(n) == n - 1, 3, np.arange(n) % 3))
    assert 19 in dataset.arrays.splits["validation"] and dataset.outputs == 4


def test_npz_that_are_missing_or_broken(tmp_path):
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        NpzFolder(path=str(tmp_path / "nowhere")).prepare()
    dataset = npz(tmp_path / "a", **CLASSES)
    whole = (tmp_path / "a" / "test.npz").read_bytes()
    for content in (whole[:100], whole[: len(whole) // 2], b"<!DOCTYPE html>"):
        (tmp_path / "a" / "test.npz").write_bytes(content)
        with pytest.raises(UsageError, match=r"test\.npz: not an npz file of numbers, or truncated"):
            dataset.prepare()
    np.savez(tmp_path / "a" / "test.npz", x=np.ones(3))
    with pytest.raises(UsageError, match=r"test\.npz: no y in it, only x"):
        dataset.prepare()
    np.savez(tmp_path / "a" / "test.npz", x=np.array([object()]), y=np.ones(1))
    with pytest.raises(UsageError, match=r"test\.npz: not an npz file of numbers"):  # pickles are not opened
        dataset.prepare()
    for member in ("x", "note.txt"):
        np.savez(tmp_path / "a" / "test.npz", y=np.ones(1))
        with zipfile.ZipFile(tmp_path / "a" / "test.npz", "a") as packed:
            packed.writestr(member, "no array")
        with pytest.raises(UsageError, match=rf"test\.npz: the member {member} is no array"):
            dataset.prepare()
    (tmp_path / "a" / "test.npz").unlink()
    with pytest.raises(UsageError, match=r"a: neither test\.npz nor a folder test with \.npz files in it"):
        dataset.prepare()


# --- ts

HEADER = "# made\n@problemName X\n@timeStamps false\n@dimensions 2\n@classLabel true b a\n@data\n"
DATA = "1,2,3:4,5,6:a\n7,8:9,10:b\n"


def problem(folder, train=HEADER + DATA * 5, test=HEADER + DATA):
    folder.mkdir(exist_ok=True)
    (folder / "X_TRAIN.ts").write_text(train)
    (folder / "X_TEST.ts").write_text(test)
    return TimeSeriesArchive(path=str(folder))


def test_ts_by_hand(tmp_path):
    dataset = problem(tmp_path / "a")
    assert (dataset.steps, dataset.inputs, dataset.outputs) == (3, 2, 2)
    assert [dataset.size(split) for split in SPLITS] == [9, 1, 2]
    x, target = next(dataset.batches("test", 9))[:2]
    assert x.transpose(0, 1).tolist() == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10], [0, 0]]]
    assert target.T.tolist() == [[-1, -1, 1], [-1, 0, -1]]  # in the order of the header: b, a
    at_end = TimeSeriesArchive(path=str(tmp_path / "a"), label_at="end")
    assert next(at_end.batches("test", 9)).target.tolist() == [1, 0]


def test_ts_classes_have_the_numbers_of_train_in_both_files(tmp_path):
    other = HEADER.replace("true b a", "true a b")
    dataset = problem(tmp_path / "a", test=other + DATA)
    assert next(dataset.batches("test", 9)).target.amax(0).tolist() == [1, 0]
    with pytest.raises(UsageError, match=r"X_TEST\.ts: the header lists the classes b, a, c, but that of train b, a"):
        problem(tmp_path / "b", test=HEADER.replace("true b a", "true b a c") + DATA).prepare()


def test_ts_with_comments(tmp_path):
    header = "\ufeff% one\n" + HEADER.replace("@dimensions 2", "@dimensions 2 # two of them").replace(
        "@data", "@data # now"
    )
    dataset = problem(tmp_path / "a", header + "# between\n" + DATA * 5, header + DATA + "% over\n")
    assert [dataset.size(split) for split in SPLITS] == [9, 1, 2] and dataset.inputs == 2


def test_ts_classes_may_be_called_anything(tmp_path):
    header = HEADER.replace("true b a", "True banana True")
    dataset = problem(tmp_path / "a", header + "1,2:3,4:True\n1,2:3,4:banana\n" * 5, header + "1,2:3,4:banana\n")
    assert next(dataset.batches("test", 1)).target.tolist() == [0]


def test_ts_with_a_number_to_say(tmp_path):
    header = HEADER.replace("@classLabel true b a", "@targetlabel true")
    dataset = problem(tmp_path / "a", header + "1,2:3,4:0.5\n" * 10, header + "1,2:3,4:1.5\n")
    assert isinstance(dataset.task, Regression) and next(dataset.batches("test", 1)).target.tolist() == [[1.5]]


@pytest.mark.parametrize(
    "content, said",
    [
        (HEADER + "1,2,3:4,5,6:c\n", ':7: class "c", but the header lists b, a'),
        (HEADER + "1,2,3:a\n", ":7: 1 dimensions where the header says 2"),
        (HEADER + "1,2,3:4,5:a\n", r":7: dimensions of \[2, 3\] steps"),
        (HEADER + "1,?,3:4,5,6:a\n", ":7: a missing value"),
        (HEADER + "1,NaN,3:4,5,6:a\n", ":7: a missing value"),
        (HEADER + "1,1e300,3:4,5,6:a\n", ": sequence 0: NaN or infinity in x at step 1"),
        (HEADER + "1,x,3:4,5,6:a\n", ":7: not a number"),
        (HEADER.replace("@timeStamps false", "@timeStamps true"), ":6: series with time stamps are not read"),
        (HEADER.replace("@dimensions", "@seriesLength 4\n@dimensions") + DATA, ":8: 3 steps where the header says 4"),
        (HEADER.replace("@dimensions 2", "@dimensions x") + DATA, ":7: 2 dimensions where the header says x"),
        (HEADER.replace("@problemName X", "@"), ": no sequence in it"),
        (HEADER.replace("@classLabel true b a\n", "") + DATA, ":6: neither @classLabel nor @targetlabel"),
        (HEADER.replace("@data\n", ""), ": truncated, or not a .ts file: no @data in it"),
        ("<!DOCTYPE html>", ":1: not a .ts file: a header line begins with @"),
        (HEADER, ": no sequence in it"),
    ],
)
def test_ts_that_is_not_right(content, said, tmp_path):
    with pytest.raises(UsageError, match=rf"X_TEST\.ts{said}"):
        problem(tmp_path / "a", test=content).prepare()


def test_ts_files_that_are_missing_or_too_many(tmp_path):
    with pytest.raises(UsageError, match=r"no file NAME_TRAIN\.ts"):
        TimeSeriesArchive(path=str(tmp_path)).prepare()
    dataset = problem(tmp_path / "a")
    shutil.copy(tmp_path / "a" / "X_TRAIN.ts", tmp_path / "a" / "Y_TRAIN.ts")
    with pytest.raises(UsageError, match=r"holds more than one problem\n  name one of X_TRAIN\.ts, Y_TRAIN\.ts"):
        dataset.prepare()
    with pytest.raises(UsageError, match=r"Y_TEST\.ts: no such file"):
        TimeSeriesArchive(path=str(tmp_path / "a" / "Y_TRAIN.ts")).prepare()
    assert TimeSeriesArchive(path=str(tmp_path / "a" / "X_TRAIN.ts")).size("test") == 2
    (tmp_path / "a" / "X_TRAIN.ts").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a text file"):
        read_ts(tmp_path / "a" / "X_TRAIN.ts")
    assert not math.isnan(float(TimeSeriesArchive.tiny().arrays.x.sum()))
