"""Interface of an implementation, and the weights and data that all implementations share."""

from __future__ import annotations

import copy
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.influence.snap1 import SnAp1
from throughtime.algorithms.influence.uoro import UORO
from throughtime.algorithms.presynaptic_trace.ottt import OTTT
from throughtime.algorithms.presynaptic_trace.pp_prop import PPProp
from throughtime.algorithms.presynaptic_trace.sltt import SLTT
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification, Regression, Task
from throughtime.networks.presets import adding_snn, smnist_srnn
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.alif import ALIF
from throughtime.neurons.lif import LIF
from throughtime.peers.workload import Workload
from throughtime.registry import NEURONS
from throughtime.spec import Training

CLASSES = 10
PP_PROP_DECAY = 0.9
"""α_p in the workloads of pp-prop."""


class PeerJob(Protocol):
    """A workload in one implementation."""

    def once(self) -> object:
        """Execute the workload once; the call that is timed. It returns when the computation is complete."""
        ...

    def answer(self) -> dict[str, Tensor]:
        """Return the result with the initial weights: `outputs`, and gradients or updated weights by the names of our
        parameters."""
        ...

    def loss(self) -> Tensor:
        """Return the loss of the forward pass, with its graph."""
        ...


class LIFConstants(NamedTuple):
    """Constants of a layer of LIF or ALIF neurons, in the letters of their docstrings."""

    size: int
    α: float
    θ: float
    adaptation: tuple[float, float] | None
    """ρ and β of ALIF; None for LIF."""


class Question(NamedTuple):
    """Input of every implementation: a network with its weights, a batch, task and training settings."""

    work: Workload
    network: Recurrent
    batch: Batch
    task: Task
    training: Training
    sequences: int = 2
    """Repetitions of FPTT's sequence in an answer: the second one reads the auxiliary table of the first."""

    def to(self, dtype: torch.dtype) -> Question:
        """Return the question with copies of network and batch in this dtype."""
        target = self.batch.target
        return self._replace(
            network=copy.deepcopy(self.network).to(dtype),
            batch=Batch(self.batch.x.to(dtype), target.to(dtype) if target.is_floating_point() else target),
        )

    def lif(self) -> LIFConstants:
        """Return the constants of the layer's neurons in a workload of LIF or ALIF."""
        neuron = self.network.layers[0].neuron
        assert isinstance(neuron, LIF | ALIF)
        adaptation = (neuron.rho, float(neuron.beta)) if isinstance(neuron, ALIF) else None
        return LIFConstants(neuron.size, neuron.alpha.item(), neuron.threshold, adaptation)

    def determined(self, answer: dict[str, Tensor]) -> dict[str, Tensor]:
        """Remove biases that batch normalisation cancels: their gradient is rounding error, which Adamax amplifies."""
        if not self.network.mixes_samples:
            return answer
        free = ("layers.0.inward.bias", "layers.0.recurrent.bias", "readout.linear.bias")
        return {name: value for name, value in answer.items() if name not in free}

    def rule(self) -> LearningRule:
        """Return a new rule of ours for the workload."""
        work = self.work
        if work.does == "pp_prop":
            return PPProp(decay=PP_PROP_DECAY, loss_at="every")
        if work.does == "fptt":
            return FPTT(alpha=0.1, auxiliary="authors")
        if work.does == "adding":
            return FPTT(parts=work.parts, alpha=0.5, weights="authors", last_part=False)
        rules = {"eprop": EProp, "snap1": SnAp1, "uoro": UORO, "ottt": OTTT, "sltt": SLTT}
        return rules.get(work.does, BPTT)(loss_at="every")


def question(work: Workload) -> Question:
    """Draw weights and data from one seed, in float64; an implementation converts them to its own precision."""
    torch.manual_seed(1)
    if work.does == "adding":
        network = adding_snn(work.inputs, 1, NEURONS[work.neuron].factory, hidden=[work.hidden])
        task: Task = Regression(chance=1 / 6)
        target = torch.rand(work.batch, 1)
        training = Training(learning_rate=3e-3, clip=1.0)
    else:
        task, target = Classification(CLASSES), torch.randint(CLASSES, (work.batch,))
        if work.does == "fptt":
            network = smnist_srnn(work.inputs, CLASSES, NEURONS[work.neuron].factory, hidden=[work.hidden])
            training = Training(optimiser="adamax", learning_rate=3e-3, clip=1.0)
        else:
            neuron = partial(NEURONS[work.neuron].factory, surrogate="triangle")
            network = Recurrent(work.inputs, CLASSES, neuron, hidden=[work.hidden], readout_tau=0.0)
            # This rate is too small to learn the random targets, which would change activity and cost.
            training = Training(learning_rate=1e-9, clip=None)
    x = work.drive * torch.randn(work.timed_steps or work.steps, work.batch, work.inputs)
    return Question(work, network, Batch(x, target), task, training).to(torch.float64)
