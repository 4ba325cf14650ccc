"""A step of one recurrent layer with one readout: its derivatives in closed form, and gradients by parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.algorithms.influence.influence import flat
from throughtime.networks.base import Network
from throughtime.neurons.base import Derivative, Partials
from throughtime.neurons.gate import is_dense
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.numerics.precision import FLOAT32, products_of


class Jacobian(NamedTuple):
    """Derivatives of the state s_t of the network and, in the last rows, of its output y_t."""

    by_s: Tensor
    """By the state s_{t−1}, [batch, S + outputs, S]."""
    by_current: Tensor
    """By the current I_t, [batch, S + outputs, size]."""


class StepDerivatives(NamedTuple):
    """Derivatives of the variables of a layer in one step, one number for each sample and neuron."""

    by_current: Mapping[str, Derivative]
    """Of a variable by the current, D_t."""
    by_previous: Mapping[tuple[str, str], Derivative]
    """Of the variable s by the variable r of the step before, at (s, r)."""
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
        by_current, by_previous = totals(partials)
        places = {field: slice(k * n, (k + 1) * n) for k, field in enumerate(s._fields)}
        return StepDerivatives(
            {s: D for s, D in by_current.items() if s in places},
            {(s, r): factor for (s, r), factor in by_previous.items() if s in places},
            places,
        )

    def along(self, step: StepDerivatives, s̃: Tensor) -> Tensor:
        """Return J_t s̃, the derivative of the state s_t along a change s̃ of s_{t−1}, both [..., batch, S]."""
        change, κ = torch.zeros_like(s̃), self.κ
        Ĩ = s̃[..., step.places["z"]] @ self.R.weight.detach().t()
        for field, D in step.by_current.items():
            change[..., step.places[field]] += D * Ĩ
        for (field, r), factor in step.by_previous.items():
            change[..., step.places[field]] += factor * s̃[..., step.places[r]]
        y = slice(len(step.places) * Ĩ.shape[-1], None)
        drive = change[..., step.places[self.readout.reads]] @ self.readout.linear.weight.detach().t()
        torch.add(κ * s̃[..., y], drive, alpha=1 - κ, out=change[..., y])
        return change

    def back_to_current(self, step: StepDerivatives, u: Tensor) -> Tensor:
        """Return (∂s_t/∂I_t)ᵀ u, [..., batch, size], for weights u of the state s_t, [..., batch, S]."""
        y = slice(len(step.places) * self.layer.neuron.size, None)
        by_y = u[..., y] @ self.readout.linear.weight.detach() * (1 - self.κ)
        total = torch.zeros_like(by_y)
        for field, D in step.by_current.items():
            u_field = u[..., step.places[field]]
            total += D * (u_field + by_y if field == self.readout.reads else u_field)
        return total

    def jacobian(self, x: Tensor, before: Any, after: Any) -> Jacobian:
        """Return the derivatives of a step, from the equations of the neurons."""
        by_current, by_previous, places = self.derivatives(x, before, after)
        R = self.R.weight.detach()
        n, S, y, κ = self.layer.neuron.size, flat(before).shape[1], after.y.shape[1], self.κ
        by_s, by_I = x.new_zeros(len(x), S + y, S), x.new_zeros(len(x), S + y, n)
        for field, derivative in by_current.items():
            D = torch.as_tensor(derivative, dtype=x.dtype, device=x.device).expand(len(x), n)
            by_I[:, places[field]].diagonal(dim1=1, dim2=2).copy_(D)
            torch.mul(D[:, :, None], R, out=by_s[:, places[field], places["z"]])
        for (field, r), factor in by_previous.items():
            by_s[:, places[field], places[r]].diagonal(dim1=1, dim2=2).add_(factor)
        o, W_out = places[self.readout.reads], self.readout.linear.weight.detach() * (1 - κ)
        for by in (by_s, by_I):
            torch.matmul(W_out, by[:, o], out=by[:, S - y : S])
        by_s[:, S - y : S, S - y :].diagonal(dim1=1, dim2=2).add_(κ)
        by_s[:, S:], by_I[:, S:] = by_s[:, S - y : S], by_I[:, S - y : S]
        return Jacobian(by_s, by_I)

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


def totals(partials: Partials) -> tuple[Mapping[str, Derivative], Mapping[tuple[str, str], Derivative]]:
    """Return the derivatives of each variable by the current and, as (s, r), by the variables of the step before,
    through all variables of the same step."""
    by_current, by_previous = dict(partials.inflows["current"].by_input), dict(partials.from_previous)
    for (s, q), factor in partials.within_step.items():
        if q in by_current:
            by_current[s] = by_current.get(s, 0.0) + factor * by_current[q]
        for (variable, r), through in [*by_previous.items()]:
            if variable == q:
                by_previous[s, r] = by_previous.get((s, r), 0.0) + factor * through
    return by_current, by_previous


def _has_closed_form(network: Network) -> bool:
    """Return whether `OneLayer.jacobian` applies: neurons with equations and one current each, products in float32."""
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
