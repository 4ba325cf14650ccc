"""Wrong neurons, networks and datasets whose fault begins late or is in what they declare; each is found by the fact
that is named beside it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.checks.test_checks import Twin, assert_found_out, fact_of, few_neurons, names_of_facts, title
from tests.checks.test_datasets import TWINS as OF_DATASETS
from tests.checks.test_datasets import Toy
from tests.checks.test_networks import TWINS as OF_NETWORKS
from tests.checks.test_neurons import TWINS as OF_NEURONS
from tests.checks.test_neurons import Soft
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.influence.snap_n import SnApN
from throughtime.checks.fact import evaluate
from throughtime.checks.run import FACTS
from throughtime.datasets.arrays import ArrayDataset, Arrays
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.neurons.plif import PLIF
from throughtime.registry import DATASETS, load_plugin

pytestmark = pytest.mark.usefixtures("isolated_registries")


@pytest.fixture(autouse=True)
def neurons(monkeypatch):
    few_neurons(monkeypatch, "lif")


# --- neurons


class SaysItsGradientFlows(LIF):
    reset_gradient = True


class SaysItResetsInTheSameStep(LIF):
    reset_step = "same_step"


class SaysItIsDetached(PLIF):
    reset_gradient = False

    def __init__(self, shape):
        super().__init__(shape, reset_gradient=True)
        self.reset_gradient = False

    def step(self, I, s):
        self.reset_gradient = True
        after = super().step(I, s)
        self.reset_gradient = False
        return after


class MixesBatchesOf33(Soft):
    def moved(self, v):
        return v + 1e-6 * v.mean(0) if len(v) > 16 else v


class IsOfTheDefaultType(Soft):
    """A constant in torch's default type."""

    def moved(self, v):
        return v * torch.ones(self.size)


# --- networks


class Net(Recurrent):
    """Sound."""

    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        super().__init__(inputs, outputs, neuron, hidden=hidden)


class CutsAfter50Steps(Net):
    def unroll(self, x, state):
        if len(x) <= 50:
            return super().unroll(x, state)
        with torch.no_grad():
            window = super().unroll(x[:50], state)
        other = super().unroll(x[50:], window.state)
        spikes = tuple(torch.cat(both) for both in zip(window.spikes, other.spikes, strict=True))
        return other._replace(outputs=torch.cat((window.outputs, other.outputs)), spikes=spikes)


class CountsHalfSpikes(Net):
    def unroll(self, x, state):
        window = super().unroll(x, state)
        return window._replace(spikes=tuple(z / 2 for z in window.spikes))


class CountsSpikesOfTheStepBefore(Net):
    def unroll(self, x, state):
        window = super().unroll(x, state)
        return window._replace(spikes=tuple(z.roll(1, 0) for z in window.spikes))


class GoesOnFromTheThirdBatch(Net):
    batches, left = 0, None

    def initial_state(self, batch):
        return super().initial_state(batch) if self.left is None else self.left

    def unroll(self, x, state):
        window = super().unroll(x, state)
        self.batches += 1
        if self.batches > 2:
            self.left = window.state
        return window


class IgnoresEval(Net):
    def train(self, mode=True):
        return super().train(True)


# --- datasets


class Data(ArrayDataset):
    """Sound: two classes that no input gives away."""

    inputs, outputs, steps = 2, 2, 4
    task: Any = Classification(2)

    @classmethod
    def tiny(cls):
        return cls()

    def values(self, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(90, self.steps, 2, generator=random), torch.arange(90) % 2

    def load(self):
        x, target = self.values(torch.Generator().manual_seed(1))
        train, validation, test = torch.arange(90).split([40, 25, 25])
        return Arrays(x, target, {"train": train, "validation": validation, "test": test}, sha256=None)


class LacksAClass(Data):
    def values(self, random):
        x, target = super().values(random)
        target[-25:] = 0
        return x, target


class StatesAnotherChance(Data):
    task: Any = Classification(2, chance=0.01)


class ScalesByAll(Data):
    def values(self, random):
        x, target = super().values(random)
        return (x - x.mean((0, 1))) / x.std((0, 1)), target


class ScalesByTraining(Data):
    """Sound."""

    def values(self, random):
        x, target = super().values(random)
        return (x - x[:40].mean((0, 1))) / x[:40].std((0, 1)), target


class WritesTheLabelIntoAnInput(Data):
    def values(self, random):
        x, target = super().values(random)
        x[:, -1, 1] = target.float()
        return x, target


DECLARED, STARTS = "its reset is as declared", "each batch starts from the initial state, in training and evaluation"
BOTH_TYPES, LABELS = "works under both default types of torch", "no single input predicts the labels"
OF_FILES = "digest changes with the content of each file", "training data do not depend on test files"
SPIKES = "spikes are 0 or 1, and those of its layers"
TWINS = [
    ("neurons", Twin(DECLARED, SaysItsGradientFlows, LIF)),
    ("neurons", Twin(DECLARED, SaysItResetsInTheSameStep, LIF)),
    ("neurons", Twin(DECLARED, SaysItIsDetached, PLIF)),
    ("neurons", Twin("samples do not mix", MixesBatchesOf33, Soft)),
    ("neurons", Twin(BOTH_TYPES, IsOfTheDefaultType, Soft, raises=True)),
    ("networks", Twin("64 and 200 steps: a window = its steps, with gradients", CutsAfter50Steps, Net)),
    ("networks", Twin(SPIKES, CountsHalfSpikes, Net)),
    ("networks", Twin(SPIKES, CountsSpikesOfTheStepBefore, Net)),
    ("networks", Twin(STARTS, GoesOnFromTheThirdBatch, Net)),
    ("networks", Twin(STARTS, IgnoresEval, Net)),
    ("datasets", Twin("every class occurs in every split", LacksAClass, Data)),
    ("datasets", Twin("chance is that of a constant prediction", StatesAnotherChance, Data)),
    ("datasets", Twin("inputs are scaled by the training split alone", ScalesByAll, ScalesByTraining)),
]


@pytest.mark.parametrize("kind, twin", TWINS, ids=lambda value: title(value) if isinstance(value, Twin) else value)
def test_the_fact_finds_the_fault(kind, twin, monkeypatch):
    if kind == "networks" and twin.broken is IgnoresEval:
        assert fact_of(kind, twin.broken, twin.fact).value == float("inf")
    assert_found_out(kind, twin, monkeypatch)


@pytest.mark.parametrize(
    "kind, sound, twins, others",
    [
        ("neurons", Soft, OF_NEURONS, set()),
        ("networks", Net, OF_NETWORKS, {BOTH_TYPES}),
        ("datasets", Toy, OF_DATASETS, {LABELS, "another process loads the same data", *OF_FILES}),
    ],
)
def test_every_fact_has_a_twin(kind, sound, twins, others):
    """Here or in the file of its kind; the others are in tests of their own below."""
    result = {twin.fact for twin in twins} | {twin.fact for twin_kind, twin in TWINS if twin_kind == kind}
    assert names_of_facts(kind, sound) == result | others


def test_an_input_that_is_the_label_gets_a_warning():
    fact = LABELS
    assert fact_of("datasets", Data, fact).verdict == "holds"
    result = fact_of("datasets", WritesTheLabelIntoAnInput, fact)
    assert result.verdict == "warns" and result.note.startswith("input 1")


class UsesTheDefaultType(BPTT):
    """A vector in torch's default type beside the gradient."""

    def update(self):
        for p in self.network.parameters():
            p.grad = p.grad * torch.ones(1) if p.grad.dtype == torch.get_default_dtype() else p.grad.double()
        super().update()


def test_a_rule_under_both_default_types():
    assert fact_of("rules", SnApN, BOTH_TYPES).verdict == "holds"
    assert fact_of("rules", UsesTheDefaultType, BOTH_TYPES).verdict == "fails"


PLUGIN = """
import os
import torch
from throughtime import dataset
from throughtime.datasets.digits import Digits

@dataset("of_this_process")
class OfThisProcess(Digits):
    \"\"\"Its order depends on the process.\"\"\"

    @classmethod
    def tiny(cls):
        found, shift = Digits.tiny(), os.getpid() if cls is OfThisProcess else 0
        found.arrays = found.arrays._replace(x=found.arrays.x.flatten().roll(shift).view_as(found.arrays.x))
        return found

@dataset("of_any_process")
class OfAnyProcess(OfThisProcess):
    \"\"\"Sound.\"\"\"
"""


def test_a_dataset_that_depends_on_the_process(tmp_path):
    path = tmp_path / "of_process.py"
    path.write_text(PLUGIN, encoding="utf-8")
    load_plugin(path)
    verdicts = []
    for name in ("of_this_process", "of_any_process"):
        (fact,) = [value for value in FACTS["datasets"](DATASETS[name]) if value.name.startswith("another process")]
        verdicts.append(evaluate(fact, DATASETS[name]).verdict)
    assert verdicts == ["fails", "holds"]
