"""Readouts: layers of integrators whose outputs are those of the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from pydantic import PositiveFloat
from torch import Tensor, nn

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.dropout import Dropout
from throughtime.networks.layer import Layer, Synapse
from throughtime.neurons.base import Shape, shape_of
from throughtime.neurons.integrators import Integrator, LeakyIntegrator, MaxIntegrator, SynapticIntegrator
from throughtime.spec import Strict

TAU = 20.0
"""Default time constant of a leak, in steps."""


def decay_of(tau: float) -> float:
    """Return κ = exp(−1/τ), the decay in a step, of a time constant in steps; 0: no memory, κ = 0."""
    return math.exp(-1 / tau) if tau else 0.0


def width_of(outputs: Shape | Mapping[str, Shape]) -> int:
    """Return the number of outputs of a readout of vectors.

    Raises:
        ValueError: the outputs are an image, or have names.
    """
    if isinstance(outputs, Mapping) or len(shape_of(outputs)) != 1:
        raise ValueError(f"outputs is the number of outputs of one readout, such as 2, not {outputs!r}")
    return shape_of(outputs)[0]


class ReadoutSynapse(Strict):
    """A synapse before the leak of a readout: i_t = γ i_{t−1} + d_t, y_t = κ y_{t−1} + g i_{t−delay}."""

    tau: PositiveFloat
    """Time constant of the synapse in steps, γ = exp(−1/τ)."""
    delay: Literal[0, 1] = 0
    """Steps after which the readout integrates a current."""
    gain: Literal["leak", "unit"] = "leak"
    """Factor g of the current: 1 − κ, or 1."""


def constant_leak(
    tau: float, synapse: ReadoutSynapse | Mapping[str, Any] | None, maximum: bool
) -> Callable[[Shape], Integrator]:
    """Return the function from a shape to integrators with a constant leak.

    Args:
        tau: time constant of the leak, in steps.
        synapse: the synapse before it; None: none.
        maximum: whether the output is the maximum over the steps so far.
    """
    integrator: Callable[[Shape], Integrator] = partial(LeakyIntegrator, decay=decay_of(tau))
    if synapse is not None:
        before = ReadoutSynapse.model_validate(synapse)
        integrator = partial(
            SynapticIntegrator,
            leak=decay_of(tau),
            synapse=decay_of(before.tau),
            delay=before.delay,
            gain=before.gain,
        )
    return partial(MaxIntegrator, integrator=integrator) if maximum else integrator


class Readout(Layer):
    """A layer of integrators with one synapse, I_t = W o_t + c, which reads the spikes or membranes o of a layer.

    W is initialised by Glorot's normal rule, c by 0. A grid of outputs has a map of the channels at each position of an
    image, a convolution with kernels of 1 x 1.

    Args:
        source: shape of the layer that it reads.
        outputs: shape of the output; (channels, rows, columns), those of the source, for a grid.
        reads: `z` or `v`, the field of the neurons' State that it reads.
        neuron: function from a shape to a layer of integrators.
        layer: name of the layer that it reads.
        name: key of its output in a network with several readouts.
        norm: normalisation of I_t, with the statistics of the time step.
        dropout: dropout of o_t.

    Attributes:
        linear: W and c, an nn.Linear; for a grid an nn.Conv2d.
    """

    linear: Any
    neuron: Integrator

    def __init__(
        self,
        source: Shape,
        outputs: Shape,
        reads: Literal["z", "v"],
        neuron: Callable[[Shape], Integrator],
        *,
        layer: str,
        name: str = "readout",
        norm: StepBatchNorm | None = None,
        dropout: Dropout | None = None,
    ) -> None:
        sizes, (width, *grid) = shape_of(source), shape_of(outputs)
        linear = nn.Conv2d(sizes[0], width, 1) if grid else nn.Linear(math.prod(sizes), width)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)  # type: ignore[arg-type]  # it has a bias
        view = nn.Flatten(1) if len(sizes) > 1 and not grid else None
        super().__init__(name, neuron(outputs), {"linear": Synapse(linear, layer, None, view, dropout)}, norm)
        self.reads, self.layer = reads, layer
        self.register_load_state_dict_pre_hook(_rename)

    @property
    def recurrent_synapse(self) -> None:
        """None: it reads another layer, which may have its name."""
        return None

    def initial_state(self, batch: int) -> Any:
        """Return y before the first step."""
        return self.neuron.pack(self.neuron.initial_state(batch, self.linear.weight))

    def output(self, y: Any) -> Tensor:
        """Return the output [batch, outputs] of the step after which the readout's state is y."""
        z: Tensor = self.neuron.unpack(y).z
        return z

    def forward(self, I: Tensor, y: Any) -> Any:
        """Compute y_t from I_t and y_{t−1}; y is the state of the integrators, which is their output unless they need
        more."""
        return self.neuron.pack(self.neuron(I, self.neuron.unpack(y))[1])


def _rename(readout: Readout, weights: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Give the parameters of a state dict of version 0.1 their present names and shapes."""
    for name in dict(readout.neuron.named_parameters()):
        if f"{prefix}{name}" in weights:
            weights[f"{prefix}neuron.{name}"] = weights.pop(f"{prefix}{name}")
    if (weight := weights.get(f"{prefix}linear.weight")) is not None:
        weights[f"{prefix}linear.weight"] = weight.view(*weight.shape[:2], *readout.linear.weight.shape[2:])
