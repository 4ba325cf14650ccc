"""Identities of RFLO, whose feedback is random, and of DECOLLE, whose losses are local."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.own.presynaptic import TASK, differ
from throughtime.checks.tiny import Gradients, build, error, gradient, recurrent, seeded, sequence
from throughtime.checks.two_layers import STEPS, layered, total
from throughtime.networks.layer import INPUT
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import ALGORITHMS, NEURONS, Component


def is_written_out(component: Component) -> Observed:
    """Return the error on the leaky rate unit against the trace of the source, for W, R and the bias. e-prop's gradient
    must differ."""
    network = recurrent(NEURONS["leaky_tanh"], readout_tau=0.0)
    rule = build(component)
    gradient = total(rule, network)
    α, B = cast(Tensor, network.layers[0].neuron.alpha), rule.B
    x, target = sequence(STEPS)
    layer, readout = network.layers[0], network.readouts[0]
    h, p, sums = x.new_zeros(len(target), layer.neuron.size), torch.zeros(()), torch.zeros(())
    with torch.no_grad():
        for x_t in x:
            inputs = torch.cat((x_t, h, x.new_ones(len(target), 1)), 1)
            I = layer.total_current({INPUT: x_t, layer.name: h}, 0, 0)
            h = (1 - α) * h + α * torch.tanh(I)
            p = (1 - α) * p + α * (1 - torch.tanh(I).square())[:, :, None] * inputs[:, None]
            δ = (torch.softmax(readout.linear(h), 1) - torch.eye(B.shape[0])[target]) / x[..., 0].numel()
            sums = sums + torch.einsum("bj,bji->ji", δ @ B, p)
    expected = [*sums.split((x.shape[2], layer.neuron.size, 1), 1)]
    by_name = dict(zip((n for n, _ in network.named_parameters()), gradient, strict=True))
    ours = [by_name["layers.0.inward.weight"], by_name["layers.0.recurrent.weight"]]
    ours.append(by_name["layers.0.inward.bias"][:, None])
    eprop = total(ALGORITHMS["eprop"].factory(loss_at="every"), network)
    return worst([("leaky_tanh", error(ours, expected)), differ("e-prop", gradient, eprop)], "no neuron")


def is_eprop_with_symmetric_feedback(component: Component) -> Observed:
    """Return the error against e-prop if B is the readout's weights; with B as drawn the gradients must differ."""
    errors = []
    eprop = ALGORITHMS["eprop"].factory(loss_at="every")
    for name, network in layered(build(component)):
        rule, expected = build(component), total(eprop, network)
        errors.append(differ(f"{name}, random B", total(rule, network), expected))
        begin = rule.begin

        def symmetric(batch: int, update: Any, rule: Any = rule, begin: Any = begin) -> None:
            begin(batch, update)
            rule.B = rule.readout.linear.weight

        vars(rule)["begin"] = symmetric  # shadows the method
        errors.append((name, error(total(rule, network), expected)))
    return worst(errors, "no neuron")


def is_autograd_of_local_losses(component: Component) -> Observed:
    """Return the error on two layers against autograd of the layers' own losses, with every spike cut on its way to
    another neuron; with and without steps from which the rule does not learn."""
    errors = []
    for burn_in in (0, 7):
        rule = build(component, burn_in=burn_in)
        for name, network in layered(rule):
            if all(layer.neuron.elementwise for layer in network.layers):
                ours = total(rule, network)
                errors.append((f"{name}, burn_in {burn_in}", error(ours, local_gradients(rule, network, burn_in))))
    return worst(errors, "no neuron")


def local_gradients(rule: LearningRule, network: Recurrent, burn_in: int) -> Gradients:
    """Return the gradients of Σ_l E_l + E, with E the loss of the network's readout, all means over the steps after
    `burn_in`; the readouts of the started rule are used."""
    x, target = sequence(STEPS)
    G: dict[str, Tensor] = vars(rule)["G"]
    readout = network.readouts[0]
    with seeded(11):
        initial = network.initial_state(len(target))
    states, y, losses = [*initial.layers], initial.y, []
    for t, x_t in enumerate(x):
        reads = {INPUT: x_t, **{layer.name: s.z.detach() for layer, s in zip(network.layers, states, strict=True)}}
        for n, layer in enumerate(network.layers):
            _, states[n] = layer.neuron(layer.total_current(reads, 0, t), states[n])
            reads[layer.name] = states[n].z.detach()
            if t >= burn_in:
                losses.append(TASK.loss(states[n].z @ G[layer.name].t(), target))
        y = readout(readout.linear(getattr(states[-1], readout.reads).detach()), y)
        if t >= burn_in:
            losses.append(TASK.loss(y, target))
    return gradient(torch.stack(losses).sum() / (STEPS - burn_in), network)


RFLO = (
    Fact("leaky rate unit: = the trace of the source", 1e-10, is_written_out),
    Fact("B = the readout's weights: = e-prop", 1e-10, is_eprop_with_symmetric_feedback),
)
DECOLLE = (Fact("two layers: = autograd of the local losses", 1e-10, is_autograd_of_local_losses),)
