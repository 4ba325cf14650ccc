"""Generated tasks: inputs, their timing, and targets, recomputed in the tests."""

import math

import pydantic
import pytest
import torch

from tests.datasets.test_datasets import SPLITS, seeded, whole
from throughtime.datasets.eprop_tasks import EvidenceAccumulation, PatternGeneration
from throughtime.datasets.memory_tasks import Copy, DelayedXor
from throughtime.datasets.spike_trains import poisson
from throughtime.datasets.store_recall import StoreRecall
from throughtime.registry import DATASETS

TASKS = (
    *("copy", "delayed_xor", "evidence_accumulation", "pattern_generation", "add_dependencies", "mimic"),
    "store_recall",
)


@pytest.mark.parametrize("name", TASKS)
def test_training_is_fresh_and_held_out_is_fixed(name):
    dataset, generator = DATASETS[name].factory.tiny(), seeded()
    first, second = (whole(dataset, "train", 12, generator)[0] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(whole(dataset, "train", 12)[0], whole(dataset, "train", 12)[0])
    assert not torch.equal(whole(dataset, "validation", 12)[0], whole(dataset, "test", 12)[0])
    for split in ("validation", "test"):
        assert torch.equal(whole(dataset, split, 12)[0], whole(dataset, split, 3)[0])
    assert dataset.sha256() is None


@pytest.mark.parametrize("rate", [0.0, 40.0, 1000.0])
def test_poisson_rates(rate):
    z = poisson(torch.tensor([rate, 10.0]).expand(2000, 2), 10, seeded())
    assert z.shape == (2000, 20) and set(z.unique().tolist()) <= {0, 1}
    for group, expected in ((z[:, :10], rate), (z[:, 10:], 10.0)):
        p = expected / 1000
        assert abs(group.float().mean() - p) <= 4 * math.sqrt(p * (1 - p) / 20_000)


# --- copy


@pytest.mark.parametrize("length, delay", [(1, 0), (3, 0), (4, 7)])
def test_copy_asks_for_what_was_shown(length, delay):
    dataset = Copy(length=length, delay=delay, symbols=5, sequences=200)
    x, target = whole(dataset, "train", 64, seeded())
    assert dataset.steps == len(x) == 2 * length + delay
    symbols, cue = x[:, :, :-1], x[:, :, -1]
    assert (symbols[:length].sum(2) == 1).all() and (symbols[length:] == 0).all()
    assert (cue[: length + delay] == 0).all() and (cue[length + delay :] == 1).all()
    assert (target[: length + delay] == -1).all()
    assert torch.equal(target[length + delay :], symbols[:length].argmax(2))
    assert target.max() == 4 and dataset.task.metric.chance == 1 / 5


# --- delayed XOR


def test_delayed_xor_by_counting_spikes():
    dataset = DelayedXor(cue=50, delay=30, answer=20, sequences=300)
    x, target = whole(dataset, "train", 100, seeded())
    assert x.shape == (150, 300, 40) and target.shape == (300,)
    zero, ones, due, noise = x.split(10, dim=2)
    cues = [(zero[cue].sum((0, 2)), ones[cue].sum((0, 2))) for cue in (slice(0, 50), slice(80, 130))]
    for z, o in cues:
        assert ((z == 0) != (o == 0)).all()  # one group is silent; the other has 20 spikes on average
    value = [(o > z).long() for z, o in cues]
    assert torch.equal(value[0] ^ value[1], target)
    for z in (zero, ones):
        assert z[50:80].sum() == 0 and z[130:].sum() == 0
    assert due[:130].sum() == 0 and due[130:].mean() == pytest.approx(0.04, abs=0.003)
    assert noise.mean() == pytest.approx(0.01, abs=0.001)
    # Neither cue alone tells the class: each of the four pairs is there.
    assert torch.bincount(2 * value[0] + value[1]).min() > 50


# --- evidence accumulation


def test_evidence_is_the_side_of_more_cues():
    dataset = EvidenceAccumulation(cues=5, cue=40, gap=10, delay=20, recall=15, sequences=300)
    x, target = whole(dataset, "train", 100, seeded())
    assert dataset.steps == len(x) == 5 * 50 + 20 + 15
    left, right, recall, noise = x.split(10, dim=2)
    votes = []
    for k in range(5):
        start = 50 * k + 10
        l, r = (side[start : start + 40].sum((0, 2)) for side in (left, right))
        assert ((l == 0) != (r == 0)).all()
        votes.append((r > l).long())
        assert left[50 * k : start].sum() == right[50 * k : start].sum() == 0
    majority = (torch.stack(votes).sum(0) >= 3).long()
    assert (target[:-15] == -1).all() and (target[-15:] == majority).all()
    assert left[250:].sum() == right[250:].sum() == recall[:-15].sum() == 0
    assert recall[-15:].mean() == pytest.approx(0.04, abs=0.004) and noise.mean() == pytest.approx(0.01, abs=0.001)
    # Two cues of a sequence are on the same side with probability 0.7² + 0.3² = 0.58.
    agree = torch.stack([(votes[0] == votes[k]).float().mean() for k in range(1, 5)]).mean()
    assert agree == pytest.approx(0.58, abs=0.06)


def test_evidence_as_the_authors_have_it():
    dataset = EvidenceAccumulation()
    assert (dataset.steps, dataset.inputs, dataset.outputs) == (2250, 40, 2)
    with pytest.raises(pydantic.ValidationError, match="an even number of cues may have no majority"):
        DATASETS["evidence_accumulation"].checked({"cues": 4})


def test_a_loss_over_labelled_steps_is_larger_by_steps_over_labels():
    """Two steps of eight have a label; without evidence the loss of each is log 2."""
    options = {"cues": 1, "cue": 3, "gap": 1, "delay": 2, "recall": 2}
    outputs = torch.zeros(8, 2)
    for mean, expected in (("all", math.log(2) / 4), ("labelled", math.log(2))):
        dataset = EvidenceAccumulation(**options, loss_mean=mean)
        target = whole(dataset, "train", 1)[1][:, 0]
        assert target.tolist()[:6] == [-1] * 6
        assert float(dataset.task.loss(outputs, target)) == pytest.approx(expected)


def test_a_decision_is_the_larger_mean_output_over_recall():
    """Two sequences of side 1. The first is right in one of its two steps, and by more than it is wrong in the other;
    the second is right in one, and by less. The steps before recall, all wrong, do not count."""
    options = {"cues": 1, "cue": 3, "gap": 1, "delay": 2, "recall": 2}
    target = torch.full((8, 2), -1)
    target[-2:] = 1
    outputs = torch.zeros(8, 2, 2)
    outputs[:-2, :, 0] = 100.0
    outputs[-2] = torch.tensor([[0.0, 3.0], [0.0, 1.0]])
    outputs[-1] = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    outputs, target = torch.cat((outputs, outputs[:, :1]), 1), torch.cat((target, target[:, :1]), 1)
    for counted, expected in (("steps", 1 / 2), ("decisions", 2 / 3)):
        meter = EvidenceAccumulation(**options, accuracy_of=counted).task.meter()
        meter.update(outputs.flatten(0, 1), target.flatten(0, 1))
        assert meter.compute() == {"accuracy": pytest.approx(expected)}


# --- pattern generation


def test_pattern_is_a_sum_of_four_sines_of_largest_value_one():
    dataset = PatternGeneration(outputs=3)
    x, y, _ = next(dataset.batches("test", 1))
    assert x.shape == (1000, 1, 100) and y.shape == (1000, 1, 3)
    assert torch.allclose(y[:, 0].abs().amax(0), torch.ones(3))
    t = torch.arange(1000, dtype=torch.float64).unsqueeze(1)
    angle = 2 * math.pi * t / torch.tensor([1000.0, 500.0, 333.0, 200.0], dtype=torch.float64)
    basis = torch.cat([angle.sin(), angle.cos()], dim=1)
    fit = torch.linalg.lstsq(basis, y[:, 0].double()).solution
    assert torch.allclose(basis @ fit, y[:, 0].double(), atol=1e-5)
    amplitude = (fit[:4].square() + fit[4:].square()).sqrt()
    assert (amplitude.max(0).values / amplitude.min(0).values <= 4).all()  # each between 0.5 and 2, before scaling
    assert x.mean() == pytest.approx(0.05, abs=0.003)
    assert dataset.task.metric.chance == pytest.approx(float(y[:, 0].var(0, unbiased=False).mean()))


def test_pattern_is_the_same_in_all_splits_and_by_its_seed():
    first, same, other = (PatternGeneration(pattern=seed, steps=50, inputs=9) for seed in (0, 0, 1))
    for split in SPLITS:
        a, b, c = (next(dataset.batches(split, 1, seeded(3))) for dataset in (first, same, other))
        assert torch.equal(a.x, b.x) and torch.equal(a.target, b.target)
        assert torch.equal(a.x[:, 0], first.pattern[0])
        assert not torch.equal(a.x, c.x) and not torch.equal(a.target, c.target)


def test_spikes_are_dropped_and_none_is_added():
    dataset = PatternGeneration(steps=500, drop=0.3, sequences=20)
    x, y = whole(dataset, "train", 20, seeded())
    frozen = dataset.pattern[0].unsqueeze(1).bool()
    assert not (x.bool() & ~frozen).any()
    assert x.sum() / (20 * frozen.sum()) == pytest.approx(0.7, abs=0.02)
    assert torch.equal(y, y[:, :1].expand(-1, 20, -1))


# --- store-recall


def read_commands(x: torch.Tensor, duration: int) -> torch.Tensor:
    """Spikes of each group during each symbol, [symbols, sequences, 4]."""
    return x.unflatten(0, (-1, duration)).unflatten(3, (4, -1)).sum((1, 4))


def test_recalls_ask_for_the_bit_at_the_last_store():
    """By counting spikes, with a rate at which no active group is silent: walk through each sequence."""
    dataset = StoreRecall(symbols=9, duration=20, probability=0.4, rate=500.0, group=5, sequences=300)
    x, target = whole(dataset, "train", 100, seeded())
    assert x.shape == (180, 300, 20) and target.shape == (180, 300)
    zero, ones, store, recall = (read_commands(x, 20) > 0).unbind(2)
    assert torch.equal(zero | ones, ~recall) and not (zero & ones).any() and not (store & recall).any()
    target = target.unflatten(0, (9, 20))
    assert torch.equal(target, target[:, :1].expand(-1, 20, -1)), "a symbol has one target"
    for sequence in range(300):
        kept, last = None, None
        for k in range(9):
            if store[k, sequence]:
                assert kept is None, "between two stores there is a recall"
                kept, last = int(ones[k, sequence]), k
            expected = -1
            if recall[k, sequence]:
                assert kept is not None and k > last + 1, "a store precedes each recall, not immediately"
                expected, kept = kept, None
            assert target[k, 0, sequence] == expected
        assert kept is None and last is not None, "the last command is a recall"
    assert 0.4 < float(ones[store].float().mean()) < 0.6 and 0.4 < float(target[target >= 0].float().mean()) < 0.6


def test_commands_have_the_probabilities_of_accepted_sequences():
    """Six symbols: ten sequences with one pair of commands, weight p² (1 − p)⁴ each; one with two, p⁴ (1 − p)²."""
    p, n = 0.3, 4000
    x, _ = whole(StoreRecall(symbols=6, duration=4, probability=p, rate=1000.0, group=1, sequences=n), "train", n)
    store, recall = read_commands(x, 4)[:, :, 2] > 0, read_commands(x, 4)[:, :, 3] > 0
    kinds, counts = (store.long() + 2 * recall.long()).unique(dim=1, return_counts=True)
    assert kinds.shape[1] == 11
    weights = torch.where((kinds == 1).sum(0) == 2, p**4 * (1 - p) ** 2, p**2 * (1 - p) ** 4)
    share = weights / weights.sum()
    assert ((counts / n - share).abs() < 4 * (share * (1 - share) / n).sqrt()).all()


@pytest.mark.parametrize("rate", [-1, 151])
def test_counts_of_random_frames_fit_into_8_bits(rate):
    with pytest.raises(pydantic.ValidationError):
        DATASETS["random_frames"].checked({"rate": rate})


def test_store_recall_as_the_authors_have_it():
    dataset = StoreRecall(sequences=200)
    assert (dataset.steps, dataset.inputs, dataset.outputs) == (2400, 100, 2)
    x, _ = whole(dataset, "train", 100, seeded())
    bits = x[:, :, :50].mean()
    assert bits == pytest.approx(0.025 * (1 - 1.086 / 12), rel=0.02)  # half of the bits are 0; 1.086 recalls a sequence
    with pytest.raises(pydantic.ValidationError):
        DATASETS["store_recall"].checked({"symbols": 2})
