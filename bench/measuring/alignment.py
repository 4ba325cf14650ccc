"""Gradient alignment: direction and norm of a rule's gradient relative to BPTT's, at the same weights."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Task
from throughtime.harness.build import Built
from throughtime.harness.seeds import stream
from throughtime.networks.base import Network
from throughtime.numerics.trees import Tree, entries, joined, mapped, tensors
from throughtime.records.record import Measure
from throughtime.registry import ALGORITHMS
from throughtime.spec import RunSpec

ALL, HIDDEN = "all", "hidden"
"""The groups of all parameters, and of all but the readout's: the gradient of a readout needs no credit through time,
and its norm is often so large that it dominates `all`."""
SAME_OUTPUT, SAME_SAMPLES = 1e-3, 0.75
"""Two outputs are the same if their relative difference is at most SAME_OUTPUT in the share SAME_SAMPLES of the samples
or more: products of another shape round differently, and a sample in which rounding flips a spike diverges."""


class Alignment(NamedTuple):
    """The rule's gradient relative to BPTT's, for one group of parameters."""

    cosine: float | None
    norm_ratio: float | None
    """Norm of the rule's gradient divided by that of BPTT's."""
    missing: str | None = None
    """The reason why both numbers are missing; None if both exist."""


class LossCall(NamedTuple):
    """One call of the task's loss by a rule."""

    outputs: Tree
    """[n, outputs], without a graph."""
    target: Tree
    loss: Tensor
    weights: list[Tensor]
    """Gradients of what the rule minimises by this loss, one for each backward pass."""


class NoAlignmentError(Exception):
    """A gradient cannot be computed; the message is the reason."""


class LearntWindow(NamedTuple):
    """The losses of a rule in one window of the sequence."""

    begin: int
    steps: int
    reported: Tensor | None
    """The loss that the rule returned."""
    calls: list[LossCall]


def alignment(
    rule: LearningRule,
    network: Network,
    task: Task,
    batch: Batch,
    seed: int = 0,
    learnt: Sequence[nn.Parameter] = (),
) -> dict[str, Alignment]:
    """Compare a rule's gradient with BPTT's on one batch, at the network's weights, for each group of parameters.

        g       = (1/U) Σ_u g_u                       g_u: gradient at the rule's update u of U, at constant weights
        E       = (1/n) Σ_p c_p l_p(W),  c_p = L_p / l_p held constant       L_p: the n losses that the rule reports
        cosine  = ⟨g, ∇E⟩ / (‖g‖ ‖∇E‖),      norm ratio = ‖g‖ / ‖∇E‖

    l_p is the task's loss that the rule computed in window p, for the output after its last step or for all its steps.
    If it computed several, each for consecutive steps, l_p is their sum with the weights of the rule's backward pass.
    So E is the loss of the learning curve, and ∇E its gradient by autograd over the whole sequence: a rule that drops
    no credit has cosine 1 and norm ratio 1.

    Terms that a rule adds to the gradient of its task's loss are in g and not in ∇E (docs/measuring.md).

    The function copies the network and restores the state of the random number generators. Time and memory: one batch
    of BPTT and one of the rule, one after the other.

    Args:
        rule: a new rule that was not started: a rule in training has running means that belong to its own updates.
        network: the network at whose weights the gradients are taken.
        task: task of the batch.
        batch: x [steps, batch, inputs] and target.
        seed: seed of the rule's own weights at its start (feedback weights), and of the initial states, which are the
            same for both gradients.
        learnt: values of the rule's own parameters, for example from a rule in training; empty: their initial values.

    Returns:
        The alignment of each group, in the order of `parameter_groups`.
    """
    groups = parameter_groups(network)
    with _random_state_restored(network), torch.enable_grad():
        try:
            rule_gradient, windows = _gradient_of_rule(rule, copy.deepcopy(network).train(), task, batch, seed, learnt)
            bptt_gradient = _gradient_of_bptt(copy.deepcopy(network).train(), task, batch, seed, windows)
        except NoAlignmentError as reason:
            return {group: Alignment(None, None, str(reason)) for group in groups}
    return {group: _compared(names, rule_gradient, bptt_gradient) for group, names in groups.items()}


def alignment_in_training(spec: RunSpec, built: Built) -> dict[str, Alignment]:
    """Compute the `alignment` of a run during training, on the first batch of the validation split.

    It uses a new rule with the same random draws as the run's rule had at its start, and with the current values of
    that rule's own parameters.
    """
    dataset, network, rule = built
    with _random_state_restored(network):
        fresh = ALGORITHMS[spec.rule.name].factory(**spec.rule.options)
        batch = next(iter(dataset.batches("validation", spec.training.batch)))
    seed = stream(spec.seed, "noise", spec.replicate)
    return alignment(fresh, network, dataset.task, batch, seed, rule.parameters())


def curve_keys(alignments: dict[str, Alignment]) -> dict[str, float | None]:
    """Return the entries of a row of the learning curve: `alignment_cosine.<group>`, `alignment_norm_ratio.<group>`."""
    return {
        f"alignment_{name}.{group}": getattr(group_alignment, name)
        for name in ("cosine", "norm_ratio")
        for group, group_alignment in alignments.items()
    }


def alignment_measures(alignments: dict[str, Alignment], epoch: int, sequences: int) -> dict[str, Measure]:
    """Return the measures for the record, under the keys of the curve: the alignment after `epoch`, on that many
    sequences."""
    methods = {
        "cosine": "cosine between the rule's mean gradient at constant weights and BPTT's gradient of the same losses",
        "norm_ratio": "norm of the rule's mean gradient at constant weights over that of BPTT's for the same losses",
    }
    when = "before training" if epoch == 0 else f"weights after epoch {epoch}"
    return {
        f"alignment_{name}.{group}": Measure(
            value=getattr(group_alignment, name),
            unit="1",
            method=f"{method}; unclipped, {when}, first {sequences} validation sequences",
            missing=group_alignment.missing,
        )
        for name, method in methods.items()
        for group, group_alignment in alignments.items()
    }


def parameter_groups(network: nn.Module) -> dict[str, list[str]]:
    """Group the names of the trainable parameters by the part of the network they belong to, biases with their weights.

    The parts of a network that describes itself are its synapses (`layer1.inward`), the neurons of its layers
    (`layer1.neuron`), norms (`layer1.inward_norm`) and readouts, by their names. Any other parameter, and every
    parameter of a network that does not describe itself, belongs to the part of its module: `blocks.0.conv.weight` to
    `block1.conv`. The groups `all` and, if the network has a readout and other parameters, `hidden` precede the parts.
    """
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    described, readouts = _described_parts(network)
    parts: dict[str, list[str]] = defaultdict(list)
    for name in names:
        parts[described.get(network.get_parameter(name)) or _part_of(name)].append(name)
    readout_names = {name for part, part_names in parts.items() if part in readouts for name in part_names}
    hidden = [name for name in names if name not in readout_names]
    return {ALL: names, **({HIDDEN: hidden} if 0 < len(hidden) < len(names) else {}), **parts}


def _described_parts(network: nn.Module) -> tuple[dict[nn.Parameter, str], set[str]]:
    """Return the part of each parameter that belongs to a layer or a readout, and the parts that are readouts."""
    if not isinstance(network, Network) or not network.described:
        return {}, {"readout"}
    modules: dict[str, nn.Module] = {}
    for layer in network.layers:
        for name, synapse in layer.synapses.items():
            modules[f"{layer.name}.{name}"] = synapse.module
            if synapse.norm is not None:
                modules[f"{layer.name}.{name}_norm"] = synapse.norm
        if layer.norm is not None:
            modules[f"{layer.name}.norm"] = layer.norm
        modules[f"{layer.name}.neuron"] = layer.neuron
    modules |= {readout.name: readout for readout in network.readouts}
    parts = {parameter: part for part, module in modules.items() for parameter in module.parameters()}
    return parts, {readout.name for readout in network.readouts}


def _part_of(name: str) -> str:
    """Return the part of a parameter: its top-level module, or its module within a numbered list of modules."""
    modules = name.split(".")[:-1] or [name]
    numbered = next((place for place in (0, 1) if len(modules) > place and modules[place].isdecimal()), None)
    if numbered is None:
        return modules[0]
    list_name = modules[0].removesuffix("s") if numbered else "layer"
    return ".".join([f"{list_name}{int(modules[numbered]) + 1}", *modules[numbered + 1 : numbered + 2]])


def _gradient_of_rule(
    rule: LearningRule, network: Network, task: Task, batch: Batch, seed: int, learnt: Sequence[nn.Parameter]
) -> tuple[dict[str, Tensor], list[LearntWindow]]:
    """Return the mean gradient over the rule's updates, by parameter, and the losses of each window."""
    calls: list[LossCall] = []

    def loss(outputs: Tree, target: Tree) -> Tensor:
        value = task.loss(outputs, target)
        calls.append(LossCall(mapped(lambda y: y.detach().clone(), outputs), target, value.detach().clone(), []))
        if value.requires_grad:
            value.register_hook(calls[-1].weights.append)
        return value

    recording = copy.copy(task)
    vars(recording)["loss"] = loss  # shadows the method, in this copy alone
    steps = batch.steps
    torch.manual_seed(seed)
    rule.start(network, recording, steps)
    own = list(rule.parameters())
    if learnt:
        with torch.no_grad():
            for p, trained in zip(own, learnt, strict=True):
                p.copy_(trained)
    constant = [(p, p.detach().clone()) for p in (*network.parameters(), *own)]
    sums = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    updates = 0

    @torch.no_grad()
    def update() -> None:
        nonlocal updates
        updates += 1
        for name, p in network.named_parameters():
            if p.grad is not None:
                sums[name] += p.grad
        for p, _ in constant:
            p.grad = None

    torch.manual_seed(seed)
    rule.begin(batch.sequences, update)
    windows, t = [], 0
    for window in rule.windows(steps):
        reported = rule.learn(*batch.window(t, window)[:2], t)
        windows.append(LearntWindow(t, window, reported, list(calls)))
        calls.clear()
        t += window
        with torch.no_grad():
            for parameter, value in constant:  # adaptive feedback decays the weights itself
                if not torch.equal(parameter, value):
                    parameter.copy_(value)
    rule.end()
    if not updates:
        raise NoAlignmentError("the rule made no update in a sequence")
    return {name: total / updates for name, total in sums.items()}, windows


def _gradient_of_bptt(
    network: Network, task: Task, batch: Batch, seed: int, windows: list[LearntWindow]
) -> dict[str, Tensor]:
    """Return ∇E by autograd over the whole sequence, by parameter."""
    torch.manual_seed(seed)
    outputs = entries(network.unroll(batch.x, network.initial_state(batch.sequences)).outputs)
    terms = []
    for begin, steps, reported, calls in windows:
        if reported is None:
            continue
        weights = _weights(calls)
        losses = [w * call.loss for w, call in zip(weights, calls, strict=True)]
        value = torch.stack(losses).sum() if losses else reported
        if not calls or not bool((value != 0) | (reported == 0)):
            raise NoAlignmentError("the rule reports a loss that it did not compute by Task.loss")
        if not (bool(reported.isfinite()) and bool(value.isfinite())):
            raise NoAlignmentError("the rule's loss is not a finite number")
        there = [_with_graph(outputs[begin : begin + steps], call.outputs) for call in calls]
        if any(y is None for y in there):
            raise NoAlignmentError("the rule called Task.loss with something else than the outputs of its windows")
        c = reported / value if value != 0 else reported
        weighted_calls = zip(weights, there, calls, strict=True)
        terms.append(c * sum(w * task.loss(y, call.target) for w, y, call in weighted_calls))
    if not terms:
        raise NoAlignmentError("the rule reports no loss")
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    E = torch.stack(terms).mean()
    gradients = torch.autograd.grad(E, list(named.values()), allow_unused=True, materialize_grads=True)
    by_parameter: dict[Tensor, Tensor] = dict(zip(named.values(), gradients, strict=True))
    network.clear_held(by_parameter.get)
    return dict(zip(named, gradients, strict=True))


def _weights(calls: list[LossCall]) -> list[Tensor | float]:
    """Return the weight of each call in its window's loss."""
    if len(calls) <= 1:
        return [1.0] * len(calls)
    if not any(call.weights for call in calls):
        raise NoAlignmentError("the rule computes several losses of a window, whose weights are unknown")
    return [sum(call.weights, torch.zeros_like(call.loss)) for call in calls]


def _with_graph(steps: list[Tree], outputs: Tree) -> Tree | None:
    """Return the outputs with their graph that equal `outputs`: those of consecutive steps of a window."""
    n = max(1, len(tensors(outputs)[0]) // len(tensors(steps[0])[0]))
    for first in reversed(range(len(steps) - n + 1)):
        candidate = joined(steps[first : first + n])
        if [y.shape for y in tensors(candidate)] == [y.shape for y in tensors(outputs)]:
            with torch.no_grad():
                a, b = (torch.cat([y.flatten(1) for y in tensors(tree)], 1) for tree in (candidate, outputs))
                distance, size = (a - b).norm(dim=1), b.norm(dim=1)
                if float((distance <= SAME_OUTPUT * size).double().mean()) >= SAME_SAMPLES:
                    return candidate
    return None


@torch.no_grad()
def _compared(names: list[str], rule_gradient: dict[str, Tensor], bptt_gradient: dict[str, Tensor]) -> Alignment:
    gradients = (rule_gradient, bptt_gradient)
    g, e = (torch.cat([gradient[name].double().flatten() for name in names]) for gradient in gradients)
    lengths = float(g.norm()), float(e.norm())
    if lengths == (0, 0):
        return Alignment(None, None, "both gradients are zero")
    for whose, length in zip(("the rule's", "BPTT's"), lengths, strict=True):
        if not math.isfinite(length):
            return Alignment(None, None, f"{whose} gradient is not finite")
        if length == 0:
            return Alignment(None, None, f"{whose} gradient is zero")
    cosine = float(g / lengths[0] @ (e / lengths[1]))
    return Alignment(max(-1.0, min(1.0, cosine)), lengths[0] / lengths[1])  # rounding may exceed 1


@contextmanager
def _random_state_restored(network: nn.Module) -> Iterator[None]:
    """Restore the state of the random number generators at the end of the block."""
    devices = {p.device.index for p in network.parameters() if p.is_cuda}
    with torch.random.fork_rng(devices=devices):
        yield
