"""A step of one recurrent layer with one readout: its derivatives in closed form, and gradients by parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.networks.base import Network
from throughtime.neurons.base import Derivative, Partials
from throughtime.neurons.gate import is_dense
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.numerics.precision import FLOAT32, products_of


class StepDerivatives(NamedTuple):
    """Derivatives of the variables of a layer in one step, [batch, size] or constants."""

    partials: Partials
    """Those of the equations, line by line."""
    by_current: Mapping[str, Derivative]
    """Those of each variable of the state by the current."""
    places: Mapping[str, slice]
    """Where each variable stands in the state of the network; the output of the readout stands behind them."""


class OneLayer:
    """A layer with I_t = W x_t + c + R z_{t−1}, whose neurons have no trained parameters, and a leaky readout of it.

    Args:
        network: a network of this form: `reason_against` returns None.
    """

    def __init__(self, network: Network) -> None:
        self.layer, self.readout = network.layers[0], network.readouts[0]
        pair = self.layer.recurrent_pair()
        assert pair is not None, "`reason_against` refuses such a layer"
        self.W, self.R = pair
        self.κ = self.readout.neuron.decay or 0.0
        self.names: dict[Tensor, str] = {p: name for name, p in network.named_parameters()}
        self.has_closed_form = _has_closed_form(network)

    @classmethod
    def from_network(cls, network: Network) -> OneLayer | None:
        """Return the network in this form; None if it is not of it, or its derivatives have no closed form."""
        if reason_against(network) is not None:
            return None
        layer = cls(network)
        return layer if layer.has_closed_form else None

    def reads(self, x: Tensor, before: Any, after: Any) -> tuple[Tensor, Tensor]:
        """Return p_t = (x_t, z_{t−1}, 1) and (o_t, 1), from the states of the network before and after the step."""
        ones = x.new_ones(len(x), 1)
        p = torch.cat((x.flatten(1), before.layers[0].z, ones), 1)
        return p, torch.cat((getattr(after.layers[0], self.readout.reads), ones), 1)

    @property
    def map_shapes(self) -> list[tuple[int, int]]:
        """Shapes of the gradients that `by_name` takes."""
        read = self.R.in_features + 1
        return [(self.W.out_features, self.W.in_features + read), (self.readout.linear.out_features, read)]

    @property
    def is_one_to_one(self) -> bool:
        """Whether each number that `by_name` takes is the gradient of one trained parameter."""
        parameters = (self.W.weight, self.R.weight, self.W.bias, self.readout.linear.weight, self.readout.linear.bias)
        return self.R.bias is None and all(p is not None and p.requires_grad for p in parameters)

    def derivatives(self, x: Tensor, before: Any, after: Any) -> StepDerivatives:
        """Return the derivatives of a step of the neurons, from their equations."""
        s, n = before.layers[0], self.layer.neuron.size
        current = torch.addmm(self.W(x.flatten(1)), s.z, self.R.weight.detach().t())
        if self.R.bias is not None:
            current += self.R.bias
        partials = self.layer.neuron.partials(current, s, after.layers[0])
        assert partials is not None, "`has_closed_form` is false for such neurons"
        places = {field: slice(k * n, (k + 1) * n) for k, field in enumerate(s._fields)}
        by_current = {variable: D for variable, D in _by_current(partials).items() if variable in places}
        return StepDerivatives(partials, by_current, places)

    def from_current(self, step: StepDerivatives, x: Tensor) -> Tensor:
        """Return D_t = ∂s_t/∂I_t, [batch, S, size], of a step with the input x."""
        size, outputs = self.layer.neuron.size, self.readout.linear.out_features
        D = x.new_zeros(len(x), len(step.places) * size + outputs, size)
        return self._through_the_step(step, D, {}, identities(len(x), size, x), in_columns=False)

    def along(self, step: StepDerivatives, s̃: Tensor, *, in_columns: bool = False) -> Tensor:
        """Return J_t s̃, the derivatives of the state s_t along changes s̃ of s_{t−1}.

        Args:
            step: the derivatives of the step.
            s̃: [..., batch, S, columns]; [..., S, batch], one change of each sample, if `in_columns`.
            in_columns: whether each sample is a column, for which one product computes R z̃ of all samples.
        """
        change, before = torch.zeros_like(s̃), {field: s̃[..., place, :] for field, place in step.places.items()}
        y = self._output(step)
        torch.mul(s̃[..., y, :], self.κ, out=change[..., y, :])
        Ĩ = self.R.weight.detach() @ before["z"]
        return self._through_the_step(step, change, before, Ĩ, in_columns=in_columns)

    def _through_the_step(
        self, step: StepDerivatives, change: Tensor, before: Mapping[str, Tensor], Ĩ: Tensor, *, in_columns: bool
    ) -> Tensor:
        """Return `change` with the changes of all variables, which follow from those `before` the step and Ĩ."""
        from_previous, within_step, inflows = step.partials
        after = {field: change[..., place, :] for field, place in step.places.items()}

        def add(s: str, D: Derivative, x: Tensor) -> None:
            if isinstance(D, Tensor) and D.dim():
                D = D.mT if in_columns and D.dim() > 1 else D[..., None]
            if s in after:
                after[s].addcmul_(torch.as_tensor(D, dtype=x.dtype, device=x.device), x)
            else:
                after[s] = D * x

        for (s, r), factor in from_previous.items():
            if r in before:
                add(s, factor, before[r])
        for s, D in inflows["current"].by_input.items():
            add(s, D, Ĩ)
        for (s, q), factor in within_step.items():
            if q in after:
                add(s, factor, after[q])
        drive = self.readout.linear.weight.detach() @ after[self.readout.reads]
        change[..., self._output(step), :].add_(drive, alpha=1 - self.κ)
        return change

    def _output(self, step: StepDerivatives) -> slice:
        """Return where the output of the readout stands in the state."""
        return slice(len(step.places) * self.layer.neuron.size, None)

    def back_to_current(self, step: StepDerivatives, u: Tensor) -> Tensor:
        """Return (∂s_t/∂I_t)ᵀ u, [..., batch, size], for weights u of the state s_t, [..., batch, S]."""
        by_y = u[..., self._output(step)] @ self.readout.linear.weight.detach() * (1 - self.κ)
        total = torch.zeros_like(by_y)
        for field, D in step.by_current.items():
            u_field = u[..., step.places[field]]
            total += D * (u_field + by_y if field == self.readout.reads else u_field)
        return total

    def by_name(self, by_current: Tensor, by_drive: Tensor) -> dict[str, Tensor]:
        """Return the gradients of the maps by name, from those by (W, R, c), [..., currents, fan-in], and by the
        readout's map, [..., outputs, size + 1]."""
        grad_W, grad_R, grad_c = by_current.split((self.W.in_features, self.R.in_features, 1), -1)
        grad_W_out, grad_c_out = by_drive.split((self.R.in_features, 1), -1)
        maps = [(self.W, grad_W, grad_c), (self.R, grad_R, grad_c), (self.readout.linear, grad_W_out, grad_c_out)]
        gradients = {self.names[map.weight]: weight for map, weight, _ in maps}
        return gradients | {self.names[map.bias]: bias[..., 0] for map, _, bias in maps if map.bias is not None}


def reason_against(network: Network) -> str | None:
    """Return why a network is not of the form of `OneLayer`; None if it is."""
    if not network.described or len(network.layers) != 1 or len(network.readouts) != 1:
        return "the Kronecker product is that of one recurrent layer with one readout"
    layer, readout = network.layers[0], network.readouts[0]
    pair = layer.recurrent_pair()
    if pair is None or pair[0].bias is None or len(layer.neuron.shape) != 1:
        return "the Kronecker product is that of one recurrent layer, W x + c + R z into a vector of neurons"
    if own := [name for name, p in layer.neuron.named_parameters() if p.requires_grad]:
        return f"parameters of the neurons have no Kronecker product: {', '.join(own)}"
    if readout.neuron.decay is None:
        return "the readout is no leaky integrator with a constant leak κ, which could filter its gradient"
    if not is_dense(readout.linear):
        return "the map of the readout is no plain nn.Linear, whose gradient the rule computes"
    if len([*network.named_parameters(remove_duplicate=False)]) > len([*network.parameters()]):
        return "a parameter that two maps share has no Kronecker product"
    return None


def identities(samples: int, size: int, like: Tensor) -> Tensor:
    """Return an identity matrix for each sample, [samples, size, size], which share their memory."""
    return torch.eye(size, dtype=like.dtype, device=like.device).expand(samples, size, size)


def _by_current(partials: Partials) -> Mapping[str, Derivative]:
    """Return the derivatives of each variable by the current, through all variables of the same step."""
    by_current = dict(partials.inflows["current"].by_input)
    for (s, q), factor in partials.within_step.items():
        if q in by_current:
            by_current[s] = by_current.get(s, 0.0) + factor * by_current[q]
    return by_current


def _has_closed_form(network: Network) -> bool:
    """Return whether `derivatives` applies: neurons with equations and one current each, products in float32."""
    layer, readout = network.layers[0], network.readouts[0]
    neuron = layer.neuron
    if (
        not neuron.elementwise
        or neuron.currents > 1
        or type(readout.neuron) is not LeakyIntegrator
        or readout.norm is not None
    ):
        return False
    maps = [s.module for s in layer.synapses.values()] + [readout.linear]
    with torch.random.fork_rng(devices=[]):
        state = network.initial_state(1).layers[0]
    known = neuron.partials(torch.zeros_like(state.z), state, state) is not None
    return known and all(is_dense(map) and products_of(map) is FLOAT32 for map in maps)
