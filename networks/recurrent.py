"""Recurrent layers of one neuron type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.layer import INPUT, Layer, Synapse
from throughtime.networks.layered.build import readout_of
from throughtime.networks.layered.spec import ReadoutSpec
from throughtime.networks.network import LayerNetwork
from throughtime.networks.readout import Readout, ReadoutSynapse, width_of
from throughtime.neurons.base import Neuron, Shape, shape_of
from throughtime.registry import network, refuse_unused


@network("recurrent")
class Recurrent(LayerNetwork):
    """Fully recurrent layers in series, and a readout of the last.

        I^l_t = W^l z^{l−1}_t + c^l + R^l z^l_{t−1},      z^0 = x

    An input with several dimensions is flattened to a vector. With outputs by name the network has a readout for each,
    and the output of a step is a dict.

    Args:
        inputs: shape of the input of a time step.
        outputs: shape of the output, one dimension; or such shapes by name.
        neuron: function from a shape to a layer of neurons.
        hidden: number of neurons of each layer.
        readout: input of the readouts, spikes or membranes of the last layer. If it is membranes, rules without credit
            through other neurons (e-prop, OTTT, ...) have no surrogate derivative in the last layer.
        readout_leak: `constant`; `trained`: a constant of each output, which is trained; or `gated`: computed at each
            step.
        readout_tau: time constant of the leak in steps, κ = exp(−1/τ), the mean of its initial values if it is trained;
            0: no memory, y_t = W o_t + c; null: 20.
        readout_synapse: synapse before a constant leak, i_t = γ i_{t−1} + W o_t + c, y_t = κ y_{t−1} + g i_{t−delay};
            null: none.
        readout_max: whether the output is the maximum over the steps so far, of a readout with a constant leak.
        weights: initial distribution of W and R. `separate`: U(±1/√fan-in) for each; `joint`: U(±1/√(fan-in + size))
            for both, the distribution of one linear map on [x ; z] (the authors' adding task); `hidden`: U(±1/√size)
            for all, as in torch.nn.RNN and LSTM; `normal`: N(0, 1/fan-in) for each, biases 0 (Bellec et al. 2020);
            `orthogonal`: W by Glorot's normal rule, R orthogonal, biases 0 (the authors' S-MNIST).
        biases: whether W and the readouts have biases; if not, they stay 0.
        recurrent_weights: whether layers have recurrent weights R; if not, I^l_t = W^l z^{l−1}_t + c^l.
        recurrent_bias: whether R has a bias.
        density: fraction of the recurrent synapses between neurons that exist, drawn for each layer. The others stay 0;
            those that exist are drawn larger by 1/√density, so that the sum has the same variance.
        self_connections: whether neurons have recurrent weights to themselves; if not, R's diagonal stays 0.
        norm_steps: number of time steps with separate statistics, for batch normalisation of W z + c, R z and the
            readout's drive; null: no normalisation.

    Raises:
        ValueError: an option has no effect without another; readout_leak: trained has a readout_tau of 0.

    Example:
        >>> network = tt.build_network("recurrent", 3, {"what": 2, "where": 4}, neuron="alif", hidden=[8, 5])
        >>> window = network.unroll(torch.rand(10, 4, 3), network.initial_state(4))  # x: [steps, batch, inputs]
        >>> window.outputs["where"].shape, [z.shape for z in window.spikes]
        (torch.Size([10, 4, 4]), [torch.Size([10, 4, 8]), torch.Size([10, 4, 5])])
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape | Mapping[str, Shape],
        neuron: Callable[[Shape], Neuron],
        *,
        hidden: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (64,),
        readout: Literal["spikes", "membrane"] = "spikes",
        readout_leak: Literal["constant", "trained", "gated"] = "constant",
        readout_tau: NonNegativeFloat | None = None,
        readout_synapse: ReadoutSynapse | None = None,
        readout_max: bool = False,
        weights: Literal["separate", "joint", "hidden", "normal", "orthogonal"] = "separate",
        biases: bool = True,
        recurrent_weights: bool = True,
        recurrent_bias: bool = False,
        density: Annotated[float, Field(gt=0, le=1)] = 1.0,
        self_connections: bool = True,
        norm_steps: PositiveInt | None = None,
    ) -> None:
        refuse_unused("readout_leak: constant or trained", readout_leak != "gated", readout_tau=readout_tau)
        constant_options = {"readout_max": readout_max or None, "readout_synapse": readout_synapse}
        refuse_unused("readout_leak: constant", readout_leak == "constant", **constant_options)
        recurrent_options = {"recurrent_bias": recurrent_bias or None, "density": None if density == 1 else density}
        recurrent_options["self_connections"] = None if self_connections else self_connections
        refuse_unused("recurrent_weights: true", recurrent_weights, **recurrent_options)
        if readout_leak == "trained" and readout_tau == 0:
            raise ValueError("readout_leak: trained needs a readout_tau above 0")
        # The synapses' random numbers precede those of the neurons, so that networks of all neurons start from the same
        # synapses.
        with torch.random.fork_rng(devices=[]):
            currents = neuron(hidden[0]).currents
        fan_ins = [math.prod(shape_of(inputs)), *hidden[:-1]]
        inward = [nn.Linear(fan_in, currents * size) for fan_in, size in zip(fan_ins, hidden, strict=True)]
        recurrent = [
            nn.Linear(size, currents * size, bias=recurrent_bias) if recurrent_weights else None for size in hidden
        ]
        exist = list[Tensor | None]()
        for W, R, size in zip(inward, recurrent, hidden, strict=True):
            _draw(W, R, size, weights)
            exist.append(_thinned(R, density) if R is not None and density < 1 else None)
            if R is not None and not self_connections:
                to_themselves(R.weight.detach()).zero_()
        names = [f"layer{n}" for n in range(1, len(hidden) + 1)]
        spec = ReadoutSpec(
            of=readout,
            leak=readout_leak,
            tau=readout_tau,
            synapse=readout_synapse,
            max=readout_max,
            norm_steps=norm_steps,
        )

        def readout_named(name: str, shape: Shape) -> Readout:
            return readout_of(spec.model_copy(update={"name": name}), names[-1], (hidden[-1],), width_of(shape))

        shapes = outputs if isinstance(outputs, Mapping) else {spec.name: outputs}
        readouts = [readout_named(name, shape) for name, shape in shapes.items()]
        layers = [
            _layer(name, W, R, neuron(size), below, norm_steps)
            for name, W, R, size, below in zip(names, inward, recurrent, hidden, [INPUT, *names[:-1]], strict=True)
        ]
        super().__init__(layers, readouts, by_name=isinstance(outputs, Mapping))
        self.self_connections = self_connections
        for layer, exists in zip(layers, exist, strict=True):
            layer.register_buffer("recurrent_exists", exists)
        if not biases:
            for map in (*inward, *(readout.linear for readout in self.readouts)):
                nn.init.zeros_(map.bias).requires_grad_(False)

    def clear_held(self, gradient_of: Callable[[Tensor], Tensor | None]) -> None:
        for layer in (layer for layer in self.layers if layer.recurrent_synapse is not None):
            gradient = gradient_of(layer.recurrent.weight)
            if gradient is not None and not self.self_connections:
                to_themselves(gradient).zero_()
            if gradient is not None and layer.recurrent_exists is not None:
                gradient.mul_(layer.recurrent_exists)


def _layer(name: str, W: nn.Linear, R: nn.Linear | None, neuron: Neuron, below: str, norm_steps: int | None) -> Layer:
    """Return a layer with a norm of each product, if it has norms."""
    maps = {"inward": (W, below), "recurrent": (R, name)}
    synapses = {
        part: Synapse(map, reads, StepBatchNorm(W.out_features, norm_steps) if norm_steps else None)
        for part, (map, reads) in maps.items()
        if map is not None
    }
    return Layer(name, neuron, synapses)


def to_themselves(R: Tensor) -> Tensor:
    """Return a view of the weights of neurons to themselves, [currents, size]."""
    return R.unflatten(0, (-1, R.shape[1])).diagonal(dim1=1, dim2=2)


def _draw(W: nn.Linear, R: nn.Linear | None, size: int, how: str) -> None:
    """Initialise W, c, R and R's bias; for `separate` the initial values of nn.Linear stay."""
    maps = [W] if R is None else [W, R]
    if how in ("normal", "orthogonal"):
        if how == "normal":
            for map in maps:
                nn.init.normal_(map.weight, std=map.in_features**-0.5)
        else:
            nn.init.xavier_normal_(W.weight)
            for map in maps[1:]:
                nn.init.orthogonal_(map.weight)
        for map in maps:
            if map.bias is not None:
                nn.init.zeros_(map.bias)
    elif how != "separate":
        recurrent_inputs = size if R is not None or how == "hidden" else 0
        bound = 1 / math.sqrt(recurrent_inputs + (W.in_features if how == "joint" else 0))
        for parameter in (p for map in maps for p in map.parameters()):
            nn.init.uniform_(parameter, -bound, bound)


@torch.no_grad()
def _thinned(R: nn.Linear, density: float) -> Tensor:
    """Draw which recurrent synapses exist, and set the others to 0; return the mask, of the shape of R's weight. A
    neuron has a synapse for all of its currents or for none."""
    size = R.in_features
    mask = (torch.rand(size, size) < density).repeat(R.out_features // size, 1)
    R.weight.mul_(mask / math.sqrt(density))
    return mask
