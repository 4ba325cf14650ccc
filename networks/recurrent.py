"""Recurrent layers of one neuron type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from throughtime.networks.base import Network, Step, Stepper, Window
from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.kernels.one_step import stepper
from throughtime.networks.kernels.readout_window import read_window
from throughtime.networks.kernels.recurrent_gradient import with_recurrent_gradient
from throughtime.networks.kernels.window import LayerWindow, Maps, layer_window
from throughtime.networks.layer import INPUT, RecurrentLayer, RecurrentState
from throughtime.networks.readout import TAU, Readout, decay_of
from throughtime.neurons.base import Neuron, Shape, shape_of
from throughtime.neurons.gate import is_dense
from throughtime.neurons.integrators import (
    GatedIntegrator,
    Integrator,
    LeakyIntegrator,
    MaxIntegrator,
    TrainedIntegrator,
)
from throughtime.numerics.precision import products_of
from throughtime.registry import network, or_default, refuse_unused


@network("recurrent")
class Recurrent(Network):
    """Fully recurrent layers in series, and a readout of the last.

        I^l_t = W^l z^{l−1}_t + c^l + R^l z^l_{t−1},      z^0 = x

    An input with several dimensions is flattened to a vector. With outputs by name the network has a readout for each,
    and the output of a step is a dict.

    Args:
        inputs: shape of the input of a time step.
        outputs: shape of the output, one dimension; or such shapes by name.
        neuron: function from a shape to a layer of neurons.
        hidden: number of neurons of each layer.
        readout: input of the readouts, spikes or membranes of the last layer.
        readout_leak: `constant`; `trained`: a constant of each output, which is trained; or `gated`: computed at each
            step.
        readout_tau: time constant of the leak in steps, κ = exp(−1/τ), the mean of its initial values if it is trained;
            0: no memory, y_t = W o_t + c; null: 20.
        readout_max: whether the output is the maximum over the steps so far, of a readout with a constant leak.
        weights: initial distribution of W and R. `separate`: U(±1/√fan-in) for each; `joint`: U(±1/√(fan-in + size))
            for both, the distribution of one linear map on [x ; z] (the authors' adding task); `hidden`: U(±1/√size)
            for all, as in torch.nn.RNN and LSTM; `normal`: N(0, 1/fan-in) for each, biases 0 (Bellec et al. 2020);
            `orthogonal`: W by Glorot's normal rule, R orthogonal, biases 0 (the authors' S-MNIST).
        biases: whether W and the readouts have biases; if not, they stay 0.
        recurrent_bias: whether R has a bias.
        density: fraction of the recurrent synapses between neurons that exist, drawn for each layer. The others stay 0;
            those that exist are drawn larger by 1/√density, so that the sum has the same variance.
        self_connections: whether neurons have recurrent weights to themselves; if not, R's diagonal stays 0.
        norm_steps: number of time steps with separate statistics, for batch normalisation of W z + c, R z and the
            readout's drive; null: no normalisation.
    """

    layers: Sequence[RecurrentLayer]

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
        readout_max: bool = False,
        weights: Literal["separate", "joint", "hidden", "normal", "orthogonal"] = "separate",
        biases: bool = True,
        recurrent_bias: bool = False,
        density: Annotated[float, Field(gt=0, le=1)] = 1.0,
        self_connections: bool = True,
        norm_steps: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        refuse_unused("readout_leak: constant or trained", readout_leak != "gated", readout_tau=readout_tau)
        refuse_unused("readout_leak: constant", readout_leak == "constant", readout_max=readout_max or None)
        readout_tau = or_default(readout_tau, TAU)
        if readout_leak == "trained" and not readout_tau:
            raise ValueError("readout_leak: trained needs a readout_tau above 0")
        self.mixes_samples = norm_steps is not None
        # The synapses' random numbers precede those of the neurons, so that networks of all neurons start from the same
        # synapses.
        with torch.random.fork_rng(devices=[]):
            currents = neuron(hidden[0]).currents
        fan_ins = [math.prod(shape_of(inputs)), *hidden[:-1]]
        inward = [nn.Linear(fan_in, currents * size) for fan_in, size in zip(fan_ins, hidden, strict=True)]
        recurrent = [nn.Linear(size, currents * size, bias=recurrent_bias) for size in hidden]
        self.self_connections, exist = self_connections, list[Tensor | None]()
        for W, R in zip(inward, recurrent, strict=True):
            _draw(W, R, weights)
            exist.append(_thinned(R, density) if density < 1 else None)
            if not self_connections:
                to_themselves(R.weight.detach()).zero_()
        names = [f"layer{n}" for n in range(1, len(hidden) + 1)]
        reads: Literal["z", "v"] = "z" if readout == "spikes" else "v"
        κ = decay_of(readout_tau)

        integrator: Callable[[Shape], Integrator] = partial(LeakyIntegrator, decay=κ)
        if readout_leak == "gated":
            integrator = GatedIntegrator
        elif readout_leak == "trained":
            integrator = partial(TrainedIntegrator, tau=readout_tau)
        elif readout_max:
            integrator = partial(MaxIntegrator, leak=κ)

        def readout_of(name: str, shape: Shape) -> Readout:
            (width,) = shape_of(shape)
            norm = StepBatchNorm(width, norm_steps) if norm_steps else None
            return Readout(hidden[-1], width, reads, integrator, layer=names[-1], name=name, norm=norm)

        if isinstance(outputs, Mapping):
            heads = {name: readout_of(name, shape) for name, shape in outputs.items()}
        else:
            heads = {"readout": readout_of("readout", outputs)}
        layers = nn.ModuleList(
            RecurrentLayer(name, W, R, neuron(size), below, norm_steps, exists)
            for name, W, R, size, below, exists in zip(
                names, inward, recurrent, hidden, [INPUT, *names[:-1]], exist, strict=True
            )
        )
        # A ModuleList registers its parameters with the network; it has the methods of a Sequence, but not the base.
        self.layers = cast("Sequence[RecurrentLayer]", layers)
        self.spiking = self.layers[0].neuron.spiking
        self.readouts = tuple(heads.values())
        self.readout = nn.ModuleDict(heads) if isinstance(outputs, Mapping) else self.readouts[0]
        if not biases:
            for map in (*inward, *(readout.linear for readout in self.readouts)):
                nn.init.zeros_(map.bias).requires_grad_(False)

    @property
    def described(self) -> bool:
        # A subclass may compute its steps differently.
        return all(getattr(type(self), name) is getattr(Recurrent, name) for name in ("forward", "read", "unroll"))

    def initial_state(self, batch: int) -> RecurrentState:
        like = self.readouts[0].linear.weight
        return RecurrentState(
            layers=tuple(layer.neuron.initial_state(batch, like) for layer in self.layers),
            y=self._joined([readout.initial_state(batch) for readout in self.readouts]),
            t=0,
        )

    def forward(self, x: Tensor, state: RecurrentState) -> tuple[Step, RecurrentState]:
        z, spikes, states = x.flatten(1), [], []
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            z, layer_state = layer.neuron(layer.current(layer.inward(z), layer_state.z, state.t), layer_state)
            spikes.append(z)
            states.append(layer_state)
        y = self.read(states[-1], state.y, state.t)
        return Step(self._outputs(self._split(y)), tuple(spikes)), RecurrentState(tuple(states), y, state.t + 1)

    def read(self, last: Any, y: Any, t: int) -> Any:
        """Compute the readouts' state y_t from the state of the last layer and y_{t−1}."""
        before = self._split(y)
        return self._joined(
            [
                readout(readout.total_current({readout.layer: getattr(last, readout.reads)}, 0, t), y_before)
                for readout, y_before in zip(self.readouts, before, strict=True)
            ]
        )

    def unroll(self, x: Tensor, state: RecurrentState) -> Window:
        z, bytes_of_z, spikes, last = x.flatten(2), None, [], []
        reads_v = any(readout.reads == "v" for readout in self.readouts)
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            window = _unrolled(layer, z, bytes_of_z, layer_state, state.t, reads_v and layer is self.layers[-1])
            z, bytes_of_z = window.z, window.bytes_of_z
            spikes.append(z)
            last.append(window.state)
        outputs, ys = zip(
            *(
                _read(readout, window, y_before, state.t)
                for readout, y_before in zip(self.readouts, self._split(state.y), strict=True)
            ),
            strict=True,
        )
        after = RecurrentState(tuple(last), self._joined(ys), state.t + len(x))
        return Window(self._joined(outputs), tuple(spikes), after)

    def stepper(self, state: RecurrentState, gradients: Mapping[Tensor, Tensor]) -> Stepper | None:
        if (
            not self.described
            or len(self.readouts) > 1
            or any(type(layer) is not RecurrentLayer for layer in self.layers)
        ):
            return None
        return stepper(self.layers, self.readouts[0], state, gradients)

    def clear_held(self, gradient_of: Callable[[Tensor], Tensor | None]) -> None:
        for layer in self.layers:
            gradient = gradient_of(layer.recurrent.weight)
            if gradient is not None and not self.self_connections:
                to_themselves(gradient).zero_()
            if gradient is not None and layer.recurrent_exists is not None:
                gradient.mul_(layer.recurrent_exists)

    def _outputs(self, ys: list[Any]) -> Any:
        """Return the outputs that the states of the readouts contain."""
        return self._joined([readout.output(y) for readout, y in zip(self.readouts, ys, strict=True)])

    def _split(self, y: Any) -> list[Any]:
        """Return the states of all readouts as a list."""
        return [y] if isinstance(self.readout, Readout) else [y[readout.name] for readout in self.readouts]

    def _joined(self, ys: Sequence[Any]) -> Any:
        """Return the value of the only readout, or a dict of the values by name."""
        if isinstance(self.readout, Readout):
            return ys[0]
        return {readout.name: y for readout, y in zip(self.readouts, ys, strict=True)}


def _unrolled(
    layer: RecurrentLayer, x: Tensor, bytes_of_x: Tensor | None, state: Any, t: int, reads_v: bool
) -> LayerWindow:
    """Compute the window of a layer from step t on; one product maps the inputs of all its steps.

    Args:
        layer: the layer.
        x: input, [steps, batch, inputs].
        bytes_of_x: x as bytes, if it consists of spikes.
        state: state before step t.
        t: number of the first step.
        reads_v: whether a readout reads the membranes.
    """
    maps = Maps(layer.inward, layer.recurrent, layer.norms)
    window = layer_window(layer.neuron, maps, x, bytes_of_x, state, t, reads_v)
    if window is not None:
        return window
    states: list[Any] = []
    sent: list[Tensor] = []
    drive, products = layer.inward(x), products_of(layer.recurrent)
    if at_end := layer.inward_norm is None and is_dense(layer.recurrent):
        R_t = products.operand(layer.recurrent.weight.detach()).t()
        drive = with_recurrent_gradient(drive, layer.recurrent, sent)
    # unbind, because the backward pass of x[t] fills a whole window in each step.
    for step, drive_t in enumerate(drive.unbind(0)):
        if at_end:
            sent.append(state.z.detach())
            current = products.addmm(drive_t, state.z, R_t)
        else:
            current = layer.current(drive_t, state.z, t + step)
        _, state = layer.neuron(current, state)
        states.append(state)
    v = torch.stack([s.v for s in states]) if reads_v else None
    return LayerWindow(torch.stack([s.z for s in states]), None, v, state)


def _read(readout: Readout, window: LayerWindow, y: Any, t: int) -> tuple[Tensor, Any]:
    """Return the outputs of a window from step t on, and the readout's state after it."""
    o, bytes_of_o = (window.z, window.bytes_of_z) if readout.reads == "z" else (window.v, None)
    assert o is not None
    return read_window(readout, o, bytes_of_o, y, t)


def to_themselves(R: Tensor) -> Tensor:
    """Return a view of the weights of neurons to themselves, [currents, size]."""
    return R.unflatten(0, (-1, R.shape[1])).diagonal(dim1=1, dim2=2)


def _draw(W: nn.Linear, R: nn.Linear, how: str) -> None:
    """Initialise W, c, R and R's bias; for `separate` the initial values of nn.Linear stay."""
    if how in ("normal", "orthogonal"):
        if how == "normal":
            for map in (W, R):
                nn.init.normal_(map.weight, std=map.in_features**-0.5)
        else:
            nn.init.xavier_normal_(W.weight)
            nn.init.orthogonal_(R.weight)
        for bias in (W.bias, R.bias):
            if bias is not None:
                nn.init.zeros_(bias)
    elif how != "separate":
        bound = 1 / math.sqrt(R.in_features + (W.in_features if how == "joint" else 0))
        for parameter in (W.weight, W.bias, R.weight, R.bias):
            if parameter is not None:
                nn.init.uniform_(parameter, -bound, bound)


@torch.no_grad()
def _thinned(R: nn.Linear, density: float) -> Tensor:
    """Draw which recurrent synapses exist, and set the others to 0; return the mask, of the shape of R's weight. A
    neuron has a synapse for all of its currents or for none."""
    size = R.in_features
    mask = (torch.rand(size, size) < density).repeat(R.out_features // size, 1)
    R.weight.mul_(mask / math.sqrt(density))
    return mask
