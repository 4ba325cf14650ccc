"""Piano rolls: the next step is the target, padding has none, and files that are not right are refused."""

import math

import numpy as np
import pytest
import scipy.io
import torch

from tests.real_data import real, real_source  # noqa: F401
from throughtime.datasets.music import VARIABLES, JSBChorales, MuseData, Nottingham, PianoMidi, synthetic_music
from throughtime.datasets.task import MultiLabel
from throughtime.errors import UsageError

SPLITS = ("train", "validation", "test")


def rolls(change=None):
    """Writes a file with sequences of 4, 2 and 3 steps in every split; at step t the keys t and 87 sound."""

    def make(folder):
        content = {}
        for variable in VARIABLES.values():
            cells = np.empty((1, 3), object)
            for i, steps in enumerate((4, 2, 3)):
                cells[0, i] = np.eye(88, dtype=np.uint8)[:steps]
                cells[0, i][:, 87] = 1
            content[variable] = cells
        if change:
            change(content)
        path = folder / "JSB_Chorales.mat"
        scipy.io.savemat(path, content)
        return [path]

    return make


def test_the_target_is_the_next_step_and_padding_has_none():
    dataset = JSBChorales(steps=3).with_synthetic_files(rolls())
    x, target, per_step = next(dataset.batches("test", 9))
    assert x.shape == target.shape == (3, 3, 88) and per_step
    assert [row.nonzero().flatten().tolist() for row in x[:, 0]] == [[0, 87], [1, 87], [2, 87]]
    assert [row.nonzero().flatten().tolist() for row in target[:, 0]] == [[1, 87], [2, 87], [3, 87]]
    assert target.isnan().all(2).t().tolist() == [[False] * 3, [False, True, True], [False, False, True]]
    assert target.isnan().any(2).equal(target.isnan().all(2))
    assert x[2, 1].sum() == 0 and x[1, 1].sum() == 2, "the last step of a sequence is an input without a target"


def test_longer_sequences_are_cut():
    dataset = JSBChorales(steps=2).with_synthetic_files(rolls())
    x, target, _ = next(dataset.batches("validation", 9))
    assert x.shape == (2, 3, 88) and target.isnan().all(2).sum().tolist() == 1
    with pytest.raises(ValueError, match="the longest sequence has 159 steps"):
        JSBChorales(steps=160)
    assert JSBChorales(steps=159).task.metric.chance == 11.09 and dataset.task.metric.chance is None


def no_variable(content):
    content.pop("validdata")


def wrong_value(content):
    content["testdata"][0, 1] = content["testdata"][0, 1] * 2


def wrong_width(content):
    content["traindata"][0, 2] = np.zeros((5, 87), np.uint8)


def one_step(content):
    content["traindata"][0, 0] = np.zeros((1, 88), np.uint8)


@pytest.mark.parametrize(
    "change, problem",
    [
        (no_variable, "the file has no variable 'validdata'"),
        (wrong_value, "testdata, sequence 1: a key that is neither 0 nor 1"),
        (wrong_width, r"traindata, sequence 2: shape \[5, 87\], where \[2 or more steps, 88\] is expected"),
        (one_step, r"traindata, sequence 0: shape \[1, 88\]"),
    ],
)
def test_files_that_are_not_right(change, problem):
    with pytest.raises(UsageError, match=rf"JSB_Chorales\.mat: {problem}"):
        JSBChorales(steps=3).with_synthetic_files(rolls(change)).size("train")


@pytest.mark.parametrize("length", [0, 100, 300])
def test_truncated(length):
    def make(folder):
        (path,) = synthetic_music(folder, "JSB_Chorales.mat")
        path.write_bytes(path.read_bytes()[:length])
        return [path]

    with pytest.raises(UsageError, match=r"JSB_Chorales\.mat: (not a MATLAB 5 file|the file has no variable)"):
        JSBChorales(steps=3).with_synthetic_files(make).size("train")


def test_the_loss_of_labels_by_hand():
    """Two labels; logits ln 3 and 0: σ = 3/4 and 1/2."""
    y = torch.tensor([[math.log(3), 0.0], [5.0, -5.0]], requires_grad=True)
    task = MultiLabel(2, per_step=True)
    loss = task.loss(y, torch.tensor([[1.0, 0.0], [math.nan, math.nan]]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert torch.autograd.grad(loss, y)[0].flatten().tolist() == pytest.approx([-1 / 8, 1 / 4, 0, 0])
    assert task.loss(y, torch.full((2, 2), math.nan)) == 0
    assert task.metric.chance == pytest.approx(2 * math.log(2))


def test_the_metrics_of_labels_by_hand():
    meter = MultiLabel(2, per_step=True).meter()
    assert all(math.isnan(value) for value in meter.compute().values())
    meter.update(torch.tensor([[math.log(3), -1.0]]), torch.tensor([[1.0, 1.0]]))  # one right, one missing
    meter.update(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [math.nan, math.nan]]))
    result = meter.compute()
    assert result["frame_accuracy"] == pytest.approx(2 / 4)
    sigmoid = [3 / 4, 1 / (1 + math.e), 1 - 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))]
    assert result["nll"] == pytest.approx(-sum(map(math.log, sigmoid)) / 2)


@pytest.mark.parametrize(
    "kind, sizes, longest, shared",
    [
        (JSBChorales, [229, 76, 77], [129, 144, 160], 0),
        (Nottingham, [694, 173, 170], [1788, 1473, 1793], 2),
        (PianoMidi, [87, 12, 25], [3857, 1637, 2645], 0),
        (MuseData, [524, 135, 124], [3457, 3723, 4273], 0),
    ],
)
def test_real_music(real_source, kind, sizes, longest, shared):  # noqa: F811
    real(f"music/{kind.files[0].name}")
    from throughtime.datasets.overlap import hashes, overlap

    dataset = kind()
    assert [dataset.size(split) for split in SPLITS] == sizes
    exists, splits = dataset.arrays.target, dataset.arrays.splits
    assert [int(exists[splits[split]].sum(1).max()) + 1 for split in SPLITS] == longest
    assert sum(overlap(hashes(dataset)).values()) == shared
    if kind is JSBChorales:
        train, test = (torch.cat([b.target.flatten(0, 1) for b in dataset.batches(s, 999)]) for s in ("train", "test"))
        p = train.nanmean(0).clamp(1e-6, 1 - 1e-6).logit().expand(len(test), -1).contiguous()
        meter = dataset.task.meter()
        meter.update(p, test)
        assert dataset.task.metric.chance == pytest.approx(meter.compute()["nll"], abs=1e-3)
