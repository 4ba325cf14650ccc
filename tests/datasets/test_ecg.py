"""QTDB: a label at every step, where there is one."""

import numpy as np
import pydantic
import pytest
import scipy.io
import scipy.sparse
import torch

from tests.real_data import real, real_source  # noqa: F401
from throughtime.datasets.ecg import FILES, Ecg, synthetic_ecg
from throughtime.errors import UsageError
from throughtime.registry import DATASETS

SPLITS = ("train", "validation", "test")


def three(change=None):
    """Writes 20 + 4 sequences of 3 steps: class 2, no label, class 5."""

    def make(folder):
        paths = [folder / file.name for file in FILES]
        for path, n in zip(paths, (20, 4), strict=True):
            x = np.zeros((n, 3, 4), np.int16)
            x[:, 0, 1], x[:, 2, 0] = 1, -1
            y = np.zeros((n, 3, 6), np.uint8)
            y[:, 0, 2] = y[:, 2, 5] = 1
            content = {"x": x, "y": y}
            if change:
                change(content)
            scipy.io.savemat(path, content)
        return paths

    return make


def test_targets_are_one_a_step_and_none_where_there_is_no_label():
    masked, first = (
        Ecg(unlabelled=how, steps=3).with_synthetic_files(three(), length=3) for how in ("masked", "class 0")
    )
    (x, target, _), (_, authors, _) = (next(dataset.batches("test", 9)) for dataset in (masked, first))
    assert x.shape == (3, 4, 4) and x[:, 0].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [-1, 0, 0, 0]]
    assert target.tolist() == [[2] * 4, [-1] * 4, [5] * 4]
    assert authors.tolist() == [[2] * 4, [0] * 4, [5] * 4]


def test_skipped_steps_have_no_label():
    dataset = Ecg(unlabelled="class 0", steps=3, skip=2).with_synthetic_files(three(), length=3)
    assert next(dataset.batches("test", 9)).target.tolist() == [[-1] * 4, [-1] * 4, [5] * 4]
    with pytest.raises(ValueError, match="leaves none"):
        Ecg(steps=3, skip=3)


def test_chance_is_that_of_the_full_length_and_else_unknown():
    assert Ecg().task.metric.chance == 0.336
    assert Ecg(steps=200).task.metric.chance is Ecg(skip=10).task.metric.chance is None


def test_validation_is_the_end_of_the_training_file():
    dataset = Ecg(steps=2).with_synthetic_files(three(), length=3)
    assert [dataset.arrays.splits[split].tolist() for split in SPLITS] == [
        list(range(18)),
        [18, 19],
        list(range(20, 24)),
    ]
    assert next(dataset.batches("test", 9)).target.shape == (2, 4)


def with_nan(content):
    content["x"] = content["x"].astype(float)
    content["x"][3, 1, 2] = np.nan


def two_labels(content):
    content["y"][1, 0, 3] = 1


@pytest.mark.parametrize(
    "change, problem",
    [
        (with_nan, "NaN in sequence 3"),
        (two_labels, "more than one label at a step of sequence 1"),
        (lambda content: content.pop("y"), "the file has no variable 'y'"),
        (lambda content: content.update(x=scipy.sparse.csc_matrix((3, 4))), "x is no array of numbers"),
        (lambda content: content.update(y=content["y"].astype(str)), "y is no array of numbers"),
        (lambda content: content.update(x=content["x"] * 200), "a number beyond ± 127 in sequence 0"),
        (lambda content: content.update(x=content["x"] + 0.5), "a number that is not whole in sequence 0"),
        (lambda content: content.update(y=content["y"] * np.nan), "a label that is neither 0 nor 1 in sequence 0"),
        (lambda content: content.update(x=content["x"][:, :2]), r"x has shape \[20, 2, 4\] and y \[20, 3, 6\]"),
    ],
)
def test_files_that_are_not_right(change, problem):
    with pytest.raises(UsageError, match=rf"QTDB_train\.mat: {problem}"):
        Ecg(steps=3).with_synthetic_files(three(change), length=3).size("train")


@pytest.mark.parametrize("length", [0, 100, 300])
def test_truncated(length):
    def make(folder):
        paths = synthetic_ecg(folder)
        paths[1].write_bytes(paths[1].read_bytes()[:length])
        return paths

    with pytest.raises(
        UsageError, match=r"QTDB_test\.mat: (not a MATLAB 5 file, or truncated|the file has no variable)"
    ):
        Ecg(steps=24).with_synthetic_files(make, length=24).size("train")


def test_options():
    for wrong in ({"steps": 1302}, {"steps": 0}, {"unlabelled": "first"}):
        with pytest.raises(pydantic.ValidationError):
            DATASETS["qtdb"].checked(wrong)


def test_real_qtdb(real_source):  # noqa: F811
    real("qtdb/QTDB_train.mat")
    dataset, authors = Ecg(), Ecg(unlabelled="class 0")
    assert [dataset.size(split) for split in SPLITS] == [556, 62, 141]
    assert set(dataset.arrays.x.unique().tolist()) == {-1, 0, 1}
    target = dataset.arrays.target
    assert target.shape == (759, 1301) and set(target.unique().tolist()) == set(range(-1, 6))
    # The shares of unlabelled steps in the two files, and nothing but those differs in the authors' form.
    assert (target[:618] == -1).float().mean() == pytest.approx(0.0818, abs=1e-4)
    assert (target[618:] == -1).float().mean() == pytest.approx(0.1039, abs=1e-4)
    assert torch.equal(authors.arrays.target, target.clamp(min=0))
    for variant in (dataset, authors):
        test = variant.arrays.target[variant.arrays.splits["test"]].long()
        assert variant.task.metric.chance == pytest.approx(float((test == 5).sum() / (test >= 0).sum()), abs=1e-3)
