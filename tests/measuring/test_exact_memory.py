"""Exact bytes of training: numbers by hand, repeatability, and growth with the number of steps."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.harness.test_training import component
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.datasets.mnist_files import synthetic_images
from throughtime.harness.batches import EVALUATION_WINDOW, unrolled
from throughtime.harness.build import build
from throughtime.harness.one_batch import one_batch
from throughtime.measuring.exact_memory import (
    OWNERS,
    ExactMemory,
    NotRepeatableError,
    evaluation_measure,
    exact_memory,
    live_byte_measures,
)
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS
from throughtime.spec import RunSpec, Training

FLOAT = torch.float32.itemsize
BATCH, INPUTS = 16, 2


def spec(rule="bptt", steps=8, hidden=4, readout="membrane", tau=0, **options) -> RunSpec:
    return RunSpec(
        suite="test",
        scale="tiny",
        rule=component(ALGORITHMS, rule, **options),
        neuron=component(NEURONS, "lif"),
        network=component(NETWORKS, "recurrent", hidden=[hidden], readout=readout, readout_tau=tau),
        dataset=component(DATASETS, "adding", steps=steps, sequences=BATCH, held_out=1),
        training=Training(epochs=1, batch=BATCH),
        passes=["bytes"],
        replicate=0,
        seed=5,
    )


def counted(run: RunSpec, rule=None) -> ExactMemory:
    built = build(run)
    return exact_memory(run, built if rule is None else built._replace(rule=rule), one_batch(run, built))


def slopes(lengths, count) -> tuple[list[float], list[float]]:
    """Bytes a step between neighbouring lengths: input excluded, and streamed."""
    memories = [count(steps) for steps in lengths]
    excluded = [memory.peak - memory.owned["input"] for memory in memories]
    streamed = [memory.streamed for memory in memories]
    gaps = [b - a for a, b in itertools.pairwise(lengths)]
    return tuple(
        [(b - a) / gap for (a, b), gap in zip(itertools.pairwise(values), gaps, strict=True)]
        for values in (excluded, streamed)
    )


@pytest.mark.parametrize("rule", ["bptt", "fptt", "eprop"])
def test_what_is_owned_is_known_by_hand_and_sums_to_the_peak(rule):
    steps, hidden = 8, 4
    memory = counted(spec(rule, steps, hidden))
    # W [hidden, inputs] and its bias, R [hidden, hidden], the readout's weights and bias, each learnt; α is a buffer.
    learnt = hidden * INPUTS + hidden + hidden * hidden + hidden + 1
    assert memory.owned["parameters"] == FLOAT * (learnt + 1)
    # Adam: two moments a parameter, and a count of steps, float32, of the one flat tensor they lie in.
    assert memory.owned["optimiser"] == FLOAT * (2 * learnt + 1)
    assert memory.owned["input"] == FLOAT * (steps * BATCH * INPUTS + BATCH)
    assert memory.owned["gradients"] <= FLOAT * learnt
    assert tuple(memory.owned) == OWNERS and sum(memory.owned.values()) == memory.peak
    shown = live_byte_measures(memory)
    assert sum(shown[f"peak_live_bytes.{owner}"].value for owner in OWNERS) == shown["peak_live_bytes"].value
    without = shown["peak_live_bytes_without_input"].value
    assert without == memory.peak - memory.owned["input"]


def test_the_same_numbers_again_and_in_another_process():
    first = counted(spec("fptt"))
    assert counted(spec("fptt")) == first
    script = "from tests.measuring.test_exact_memory import counted, spec; print(counted(spec('fptt')))"
    root = Path(__file__).parents[2]
    other = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(first)


def step_of_lif(batch: int, hidden: int) -> float:
    """Bytes, worked out in the test below."""
    return 3.25 * FLOAT * batch * hidden + FLOAT * batch * 1


@pytest.mark.parametrize(("readout", "tau"), [("membrane", 0), ("spikes", 0.0), ("spikes", 20.0)])
def test_memory_of_bptt_grows_by_what_a_step_of_lif_leaves(readout, tau):
    """By hand, of tensors [batch, size] (a unit), [batch, 1] and smaller ones, per step, when most is alive.

    Saved for backward: v, which took the place of I = W x + c + R z: 1 unit; z as bytes, for the gradients of R
    and of a readout of spikes: a quarter. Not saved: z in float32, which nobody refers to after `unroll`.

    In backward the readout leaves the gradient of what it read, v or z: 1 unit; that of the currents takes another,
    for autograd's gradients are not to be written over: 3.25 units. Forward it is less: v, z and the bytes, 2.25.

    The outputs, which the window holds: [batch, 1], with a leak in the stack of all steps. What they were made of is
    gone, for neither a linear map nor a leak by a number keeps its result; so is their gradient after its use.

    Factors of the surrogate are made for 2**16 numbers at once, here 32 steps: their memory does not grow.
    """
    hidden = 128
    by_hand = step_of_lif(BATCH, hidden)
    excluded, streamed = slopes([40, 50, 70], lambda steps: counted(spec("bptt", steps, hidden, readout, tau)))
    assert excluded == [by_hand] * 2
    # A window is the whole sequence: streaming spares nothing.
    assert streamed == [by_hand + FLOAT * BATCH * INPUTS] * 2


def test_the_slope_that_the_documentation_names():
    """The README names the slope of the suite `memory`."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"{step_of_lif(32, 64):,.0f} bytes (LIF)".replace(",", " ") in text


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("tbptt", {"window": 1}),
        ("fptt", {"form": "code"}),
        ("fptt", {"form": "paper"}),
        ("fptt", {"form": "none"}),
        ("rtrl", {}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value,
)
def test_memory_of_rules_that_learn_step_by_step_does_not_grow(rule, options):
    assert slopes([5, 9, 21], lambda steps: counted(spec(rule, steps, **options))) == ([0, 0], [0, 0])


@pytest.mark.parametrize("rule", ["eprop", "diagonal_rtrl"])
def test_memory_of_rules_that_learn_in_blocks_does_not_grow_from_two_blocks_on(rule):
    assert slopes([50, 54, 81], lambda steps: counted(spec(rule, steps))) == ([0, 0], [0, 0])


def evaluated(steps: int, hidden: int = 64) -> float:
    """Bytes of evaluation, less the input."""
    run = spec(steps=steps, hidden=hidden)
    batch = one_batch(run, build(run))
    return evaluation_measure(build(run), batch)["peak_live_bytes_evaluation"].value - batch.nbytes


def test_memory_of_evaluation_is_that_of_two_windows(monkeypatch):
    """A window, and the spikes and outputs of the one before; an evaluation that holds all windows grows by as much
    with each further one."""
    W, hidden = EVALUATION_WINDOW, 64
    assert evaluated(W) < evaluated(2 * W) == evaluated(3 * W) == evaluated(4 * W + 7)
    monkeypatch.setattr("throughtime.measuring.exact_memory.unrolled", lambda *given: [*unrolled(*given)])
    assert evaluated(3 * W) - evaluated(2 * W) >= FLOAT * W * BATCH * (hidden + 1)


class Known(TruncatedBPTT):
    """Learns nothing: at its last step, all gradients are there beside 10 000 numbers, which are the peak."""

    def learn(self, x, target, t):
        if t + len(x) == self.steps:
            for p in self.network.parameters():
                p.grad = torch.zeros_like(p)
            largest = torch.zeros(10_000)
            del largest
            self.update()
        return torch.zeros(())


def test_gradients_and_streamed_bytes_are_known_by_hand():
    steps, hidden = 8, 4
    memory = counted(spec("tbptt", steps, hidden, window=2), Known(window=2))
    learnt = hidden * INPUTS + hidden + hidden * hidden + hidden + 1
    assert memory.owned["gradients"] == FLOAT * learnt
    assert memory.owned["graph"] == FLOAT * (10_000 + 2), "and the loss of the window before, and the sum of losses"
    # Streamed, two of the eight steps of the input are in memory, and all else that was.
    assert memory.streamed == memory.peak - FLOAT * BATCH * INPUTS * (steps - 2)
    assert memory.owned["parameters"] == FLOAT * (learnt + 1) < memory.streamed


class Leaky(TruncatedBPTT):
    """Keeps each step's output until the next sequence."""

    def begin(self, batch, update):
        super().begin(batch, update)
        self.kept = []

    def loss_of(self, outputs, target, loss_at):
        self.kept.append(outputs[-1].detach())
        return super().loss_of(outputs, target, loss_at)


def test_a_leak_is_a_slope_and_belongs_to_the_rule():
    lengths = [4, 14, 34]
    memories = {steps: counted(spec("tbptt", steps, window=1), Leaky(window=1)) for steps in lengths}
    rule_bytes = [memories[steps].owned["rule"] for steps in lengths]
    assert [b - a for a, b in itertools.pairwise(rule_bytes)] == [10 * FLOAT * BATCH, 20 * FLOAT * BATCH]
    excluded, streamed = slopes(lengths, memories.get)
    assert excluded == streamed == [FLOAT * BATCH] * 2


def test_states_in_a_queue_belong_to_the_rule():
    """Rolling truncated BPTT keeps the states before its last L steps: v of each, [batch, hidden], and more."""
    rule_bytes = [counted(spec("rolling_tbptt", steps=12, window=window)).owned["rule"] for window in (3, 8)]
    assert rule_bytes[1] - rule_bytes[0] >= 5 * FLOAT * BATCH * 4


class Learning(TruncatedBPTT):
    """Learns something itself, in a module."""

    def start(self, *network_task_steps):
        super().start(*network_task_steps)
        self.module = torch.nn.Linear(100, 10)

    def parameters(self):
        return list(self.module.parameters())


def test_what_a_rule_learns_itself_belongs_to_it_wherever_it_keeps_it():
    plain, learning = (counted(spec("tbptt", window=1), rule(window=1)) for rule in (TruncatedBPTT, Learning))
    assert learning.owned["rule"] - plain.owned["rule"] == FLOAT * (100 * 10 + 10)


class Hoarding(BPTT):
    """Keeps something of every sequence for good."""

    def start(self, *network_task_steps):
        super().start(*network_task_steps)
        self.kept = []

    def learn(self, x, target, t):
        self.kept.append(x.clone())
        return super().learn(x, target, t)


def test_a_rule_that_is_larger_at_each_batch_has_no_exact_peak():
    with pytest.raises(NotRepeatableError, match="bytes at operation"):
        counted(spec("bptt"), Hoarding())
    shown = live_byte_measures(None, "the reason")
    assert all(measure.value is None and measure.missing == "the reason" for measure in shown.values())


def test_a_table_in_an_object_that_can_be_called_belongs_to_the_rule():
    """FPTT's auxiliary table Q has a row of probabilities for each class, part and class."""
    plain, table = (spec("fptt", steps=8, parts=4, auxiliary=kind) for kind in ("off", "authors"))
    digits = component(DATASETS, "digits", steps=8)
    with_table, without = (counted(run.model_copy(update={"dataset": digits})).owned["rule"] for run in (table, plain))
    assert with_table - without >= 10 * 4 * 10 * FLOAT


@pytest.mark.parametrize("rule", ["bptt", "fptt"])
def test_the_input_of_a_shown_image_has_the_bytes_of_one_step(rule):
    def owned(steps: int) -> tuple[int, int]:
        run = spec(rule, steps=8)
        images = (
            DATASETS["mnist"].factory(steps=steps).with_synthetic_files(synthetic_images, side=7, validation_images=10)
        )
        built = build(run)._replace(dataset=images)
        batch = next(images.batches("train", BATCH))
        network = NETWORKS["recurrent"].factory(49, 10, NEURONS["lif"].factory, hidden=[4])
        memory = exact_memory(run, built._replace(network=network), batch)
        return memory.owned["input"], memory.peak

    (input_4, peak_4), (input_40, peak_40) = owned(4), owned(40)
    assert input_4 == input_40 == BATCH * (49 * FLOAT + 8)
    assert peak_40 > input_40 and peak_4 > input_4
