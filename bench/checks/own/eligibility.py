"""Identities of the rules with eligibility traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.eligibility.traces import Traces
from throughtime.checks import tiny
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.own.layers import LAYERS
from throughtime.datasets.task import Classification, Task
from throughtime.networks.layer import INPUT
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.registry import ALGORITHMS, Component

STEPS = 30
TASK = Classification(tiny.CLASSES)
READOUTS: tuple[dict[str, Any], ...] = ({}, {"readout_tau": 0.0}, {"readout": "membrane", "readout_tau": 0.0})


def elementwise(rule: Any, **options: Any) -> Iterator[tuple[str, Recurrent]]:
    """Yield networks of the supported neurons that depend on no other neuron's state."""
    for name, network in tiny.supporting(rule, STEPS, **options):
        if network.layers[0].neuron.elementwise:
            yield name, network


def cut(
    network: Recurrent, x: Tensor, task: Task, target: Tensor, B: Tensor | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Return losses and spikes of each step, with no gradient through spikes between neurons.

    Args:
        network, x, task, target: the network, its input, and the loss.
        B: feedback weights from the outputs to the neurons; None: the readout's weights.
    """
    layer, readout = network.layers[0], network.readouts[0]
    with tiny.seeded(11):
        initial = network.initial_state(x.shape[1])
    state, y, losses, spikes = initial.layers[0], initial.y, [], []
    for t, x_t in enumerate(x):
        _, state = layer.neuron(layer.total_current({INPUT: x_t, layer.name: state.z.detach()}, 0, t), state)
        o = getattr(state, readout.reads)
        d = readout.linear(o if B is None else o.detach())
        y = readout(d if B is None else d + (o - o.detach()) @ B.t(), y)
        losses.append(task.loss(y, target[t] if task.per_step else target))
        spikes.append(state.z)
    return losses, spikes


def is_autograd_with_cut_spikes(component: Component) -> Observed:
    errors = []
    for options in READOUTS:
        for loss_at, kind in tiny.LOSS_KINDS:
            (task, target), (x, _) = tiny.task_and_target(kind, STEPS), tiny.sequence(STEPS)
            # One readout suffices to detect a trace that remains from the batch before.
            before = None if options else (tiny.sequence(STEPS, 17)[0], target)
            rule = tiny.build(component, loss_at=loss_at)
            # Loss and readout change what arrives at the neurons, not what one does with it.
            is_first = not options and (loss_at, kind) == tiny.LOSS_KINDS[0]
            for name, network in elementwise(rule, lif_alone=not (is_first or tiny.every_structure()), **options):
                total = tiny.learn(rule, network, (x, target), task, after=before).total()
                losses, _ = cut(network, x, task, target)
                E = losses[-1] if loss_at == "end" else torch.stack(losses).mean()
                errors.append((f"{name}, loss at {loss_at}, {kind}", tiny.error(total, tiny.gradient(E, network))))
    return worst(errors, "no neuron")


def one_step_is_bptt(component: Component) -> Observed:
    """Return the error against BPTT with one step: of all parameters or, where a gate reads the currents of other
    neurons, of the neurons' own."""
    x, target = tiny.sequence(1)
    errors = []
    for name, network in tiny.supporting(tiny.build(component), steps=1):
        names = [name for name, p in network.named_parameters() if p.requires_grad]
        held = [k for k, name in enumerate(names) if network.layers[0].neuron.elementwise or ".neuron." in name]
        total = tiny.learn(tiny.build(component), network, (x, target)).total()
        exact = tiny.backprop(network, x, target, TASK, "end")
        errors.append((name, tiny.error([total[k] for k in held], [exact[k] for k in held])))
    return worst(errors, "no neuron")


def factorises_bptt(component: Component) -> Observed:
    """Return the error of Σ_t dE/dz_j^t e_ji^t = dE/dW_ji with nothing cut (Bellec et al. 2020, equation 1); z_j^t is
    the spike that is sent."""
    x, target = tiny.sequence(STEPS)
    errors = []
    for name, network in elementwise(tiny.build(component)):
        layer, readout = network.layers[0], network.readouts[0]
        with tiny.seeded(11):
            initial = network.initial_state(tiny.BATCH)
        state, y, sent, losses = initial.layers[0], initial.y, [], []
        arriving = state.z
        traces, e = Traces(("z",)), []
        for t, x_t in enumerate(x):
            current = layer.total_current({INPUT: x_t, layer.name: arriving}, 0, t)
            _, after = layer.neuron(current, state)
            with torch.no_grad():
                p = torch.cat((x_t, arriving, x.new_ones(tiny.BATCH, 1)), 1)
                partials = tiny.build(component).partials(layer.neuron, current.detach(), state, after)
                e.append(traces.advance(partials, p)["current"]["z"])
            state, arriving = after, after.z.clone()  # the spike that is sent, apart from the one in the state
            sent.append(arriving)
            y = readout(readout.linear(arriving), y)
            losses.append(TASK.loss(y, target))
        E = torch.stack(losses).mean()
        dE_dz = torch.autograd.grad(E, sent, retain_graph=True)
        terms = [torch.einsum("bj,bkji->kji", d, e_t).flatten(0, 1) for d, e_t in zip(dE_dz, e, strict=True)]
        total = sum(terms, start=x.new_zeros(()))
        exact = torch.autograd.grad(E, [layer.inward.weight, layer.recurrent.weight])
        errors.append((name, tiny.error([total[:, :-1]], [torch.cat(exact, 1)])))
    return worst(errors, "no neuron")


def rate_regularisation(component: Component) -> Observed:
    """Return the error of the gradient that a rate cost adds: autograd's of c Σ_j (f̄_j − f*)², spikes cut, where f̄ is
    the mean over batch and sequence, that of each sequence, or the running mean, which is constant in the gradient of
    z^t."""
    c, target_rate, errors = 3.0, 0.2, []
    x, target = tiny.sequence(STEPS)
    plain = tiny.build(component)
    for mean in ("sequence", "sample", "running"):
        regularised = tiny.build(component, rate_cost=c, rate_target=target_rate, rate_mean=mean)
        for name, network in elementwise(regularised):
            with_cost, without = (tiny.learn(rule, network, (x, target)).total() for rule in (regularised, plain))
            spikes = torch.stack(cut(network, x, TASK, target)[1])
            z = spikes.mean(1)
            E = c * (z.mean(0) - target_rate).square().sum()
            if mean == "sample":
                E = c * (spikes.mean(0) - target_rate).square().mean(0).sum()
            if mean == "running":
                running = z.detach().cumsum(0) / torch.arange(1, STEPS + 1)[:, None]
                E = (2 * c * (running - target_rate) * z).sum() / STEPS
            added: tiny.Gradients = [a - b for a, b in zip(with_cost, without, strict=True)]
            errors.append((f"{name}, {mean} mean", tiny.error(added, tiny.gradient(E, network))))
    return worst(errors, "no neuron")


def updates_in_between(component: Component) -> Observed:
    """Return the error of the sum of updates every k steps against a single update, with constant weights."""
    x, target = tiny.sequence(STEPS)
    errors = []
    for name, network in tiny.supporting(tiny.build(component), STEPS):
        often = tiny.learn(tiny.build(component, loss_at="every", update_every=7), network, (x, target))
        once = tiny.learn(tiny.build(component, loss_at="every"), network, (x, target))
        if len(often.gradients) != 5:
            errors.append((f"{name}: {len(often.gradients)} updates", float("inf")))
        errors.append((name, tiny.error(often.total(), once.total())))
    return worst(errors, "no neuron")


def random_feedback(component: Component) -> Observed:
    """Return the error against autograd's gradient with B in the readout's backward pass; B is drawn at the start."""
    x, target = tiny.sequence(STEPS)
    errors = []
    for name, network in elementwise(tiny.build(component, feedback="random")):
        rule = tiny.build(component, feedback="random", loss_at="every")
        drawn = _at_start(rule, lambda rule: rule.B.detach().clone())
        total = tiny.learn(rule, network, (x, target), after=tiny.sequence(STEPS, 17)).total()
        losses, _ = cut(network, x, TASK, target, drawn[-1])
        errors.append((name, tiny.error(total, tiny.gradient(torch.stack(losses).mean(), network))))
    return worst(errors, "no neuron")


def _at_start(rule: LearningRule, look: Callable[[Any], Tensor]) -> list[Tensor]:
    """Return a list to which each start of the rule appends the tensor that `look` returns."""
    seen: list[Tensor] = []
    start = rule.start

    def spied(*arguments: Any) -> None:
        start(*arguments)
        seen.append(look(rule))

    vars(rule)["start"] = spied  # shadows the method
    return seen


def adaptive_feedback(component: Component) -> Observed:
    """Return the error of Kolen-Pollack feedback: equal steps and decay d shrink B − W_out by 1 − d at each update."""
    d, rate, updates = 0.1, 0.05, 10
    rule, network = (
        tiny.build(component, feedback="adaptive", feedback_decay=d, loss_at="every", update_every=3),
        tiny.recurrent(LIF),
    )
    x, target = tiny.sequence(STEPS)
    W = network.readouts[0].linear.weight

    def update() -> None:
        with torch.no_grad():
            for p in (*network.parameters(), *rule.parameters()):
                if p.grad is not None:
                    p.sub_(p.grad, alpha=rate)
                p.grad = None

    apart = _at_start(rule, lambda rule: (rule.B - W).detach().clone())
    tiny.learn(rule, network, (x, target), update=update)
    expected = apart[0] * (1 - d) ** updates
    return Observed(tiny.error([(rule.B - W).detach()], [expected]), f"{updates} updates")


def is_eprop(component: Component) -> Observed:
    """Return the error against e-prop with hand-derived partials, on every neuron that has them, diagonal ones too."""
    x, target = tiny.sequence(STEPS)
    errors = []
    for options in READOUTS:
        eprop = ALGORITHMS["eprop"].factory(loss_at="every")
        for name, network in tiny.supporting(eprop, STEPS, **options):
            a = tiny.learn(tiny.build(component, loss_at="every"), network, (x, target)).total()
            errors.append((name, tiny.error(a, tiny.learn(eprop, network, (x, target)).total())))
    return worst(errors, "no neuron")


UPDATES_ADD_UP = Fact("updates every k steps add up to one", 1e-10, updates_in_between)


def _facts(*own: tuple[str, float, Callable[[Component], Observed]]) -> tuple[Fact, ...]:
    shared = (
        ("= autograd with spikes between neurons cut", 1e-10, is_autograd_with_cut_spikes),
        ("Σ dE/dz · eligibility = BPTT, nothing cut", 1e-10, factorises_bptt),
        ("one step = BPTT, all parameters", 1e-10, one_step_is_bptt),
    )
    return (*(Fact(*fact) for fact in shared), UPDATES_ADD_UP, *(Fact(*fact) for fact in own), *LAYERS)


EPROP = _facts(
    ("rate regularisation = autograd's", 1e-10, rate_regularisation),
    ("random feedback = autograd with B for W", 1e-10, random_feedback),
    ("adaptive feedback: B − W shrinks by 1 − d", 1e-10, adaptive_feedback),
)
DIAGONAL_RTRL = _facts(("= e-prop where both apply", 1e-10, is_eprop))
