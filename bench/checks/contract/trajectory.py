"""Two epochs of a learning rule, batch by batch, against what a fresh rule does with each batch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.checks import tiny
from throughtime.checks.contract.cost import neuron_of
from throughtime.checks.fact import DoesNotApplyError, Observed, UnknownError, worst
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import ALGORITHMS, Component

TASK = Classification(tiny.CLASSES)
EPOCHS, BATCHES, STEPS, RATE = 2, 7, 20, 0.05
SHOWN = f"{EPOCHS} epochs of {BATCHES} batches, {STEPS} steps"


class BatchTrained(NamedTuple):
    """One batch of a training."""

    name: str
    before: list[Tensor]
    """Weights, buffers, and the rule's own parameters before it."""
    gradients: list[tiny.Gradients]
    """Of each update."""
    losses: list[Tensor]
    after: list[Tensor]
    """Weights and buffers after it, and after the end of the epoch if it is the last of one."""


def everything(network: Recurrent, rule: LearningRule | None = None) -> list[Tensor]:
    """Return copies of the weights and buffers of a network, and of a rule's own parameters."""
    tensors = (*network.state_dict().values(), *(rule.parameters() if rule else ()))
    return [tensor.detach().clone() for tensor in tensors]


def started(rule: LearningRule, network: Recurrent) -> tiny.Recorder:
    with tiny.seeded(11):
        rule.start(network, TASK, STEPS)
    return tiny.Recorder(network, RATE, rule.parameters())


def show_batch(rule: LearningRule, update: tiny.Recorder, k: int) -> list[Tensor]:
    """Train on batch k; return the reported losses."""
    update.gradients = []
    return [loss for loss in tiny.train_batch(rule, *tiny.sequence(STEPS, 100 + k), update, seed=k) if loss is not None]


def training(rule: LearningRule, network: Recurrent) -> Iterator[BatchTrained]:
    """Train for a few epochs; yield each batch.

    Raises:
        ValueError: the rule leaves the network in evaluation mode, or the end of an epoch moves the weights of a rule
            that does not say so.
    """
    update = started(rule, network)
    for k in range(EPOCHS * BATCHES):
        before, epoch = everything(network, rule), k // BATCHES + 1
        losses = show_batch(rule, update, k)
        after = everything(network)
        if not network.training:
            raise ValueError(f"the network is in evaluation mode after batch {k + 1}")
        if (k + 1) % BATCHES == 0:
            rule.end_epoch()
            if not rule.claims.sets_weights and tiny.error(everything(network), after):
                raise ValueError(f"the end of epoch {epoch} moves the weights")
            after = everything(network)
        yield BatchTrained(f"epoch {epoch}, batch {k % BATCHES + 1}", before, update.gradients, losses, after)


def strays(component: Component) -> Observed:
    """Return the error of the updates, losses and weights of each batch against those of a fresh rule with this batch
    alone, from the same weights.

    Raises:
        DoesNotApplyError: the rule carries more than weights from batch to batch, as its family does.
        UnknownError: it does, and names no family.
    """
    if tiny.build(component).claims.carries:
        if tiny.build(component).claims.same_as:
            raise DoesNotApplyError("it carries more than weights from batch to batch: that of its family is compared")
        raise UnknownError("it carries more than weights from batch to batch: nothing is known of that without same_as")
    neuron, errors = neuron_of(component), []
    twin = tiny.recurrent(neuron)
    for k, batch in enumerate(training(tiny.build(component), tiny.recurrent(neuron))):
        fresh = tiny.build(component)
        values = iter(batch.before)
        with torch.no_grad():
            for tensor in twin.state_dict().values():
                tensor.copy_(next(values))
            update = started(fresh, twin)
            for p in fresh.parameters():
                p.copy_(next(values))
        losses = show_batch(fresh, update, k)
        errors.append((batch.name, difference(batch, update.gradients, losses)))
        if (k + 1) % BATCHES:
            errors.append((f"weights after {batch.name}", tiny.error(batch.after, everything(twin))))
    value, note = worst(errors, "no batch")
    return Observed(value, f"{neuron.name}, {SHOWN}; {note}")


def difference(batch: BatchTrained, gradients: Sequence[tiny.Gradients], losses: Sequence[Tensor]) -> float:
    """Return the largest error of the updates and losses of a batch; infinity if their numbers differ."""
    if len(gradients) != len(batch.gradients) or len(losses) != len(batch.losses):
        return float("inf")
    pairs = zip(batch.gradients, gradients, strict=True)
    return max([tiny.error(batch.losses, losses), *(tiny.error(ours, theirs) for ours, theirs in pairs)])


def differs_from_family(component: Component) -> Observed:
    """Return the error of the updates, and of the weights after each epoch, against those of the rule that `same_as`
    names, with the same values of the options that both have.

    Raises:
        DoesNotApplyError: the rule is that one.
    """
    family = tiny.build(component).claims.same_as
    reference = ALGORITHMS[family]
    if reference.factory is component.factory or component.name == family:
        raise DoesNotApplyError("it is the rule that it names")
    fields, known = component.options.model_fields, reference.options.model_fields
    options = {name: fields[name].default for name in fields.keys() & known.keys()}
    neuron, errors = neuron_of(component), []
    rules = tiny.build(component), tiny.build(reference, **options)
    ours, theirs = (training(rule, tiny.recurrent(neuron)) for rule in rules)
    for actual, expected in zip(ours, theirs, strict=True):
        errors.append((actual.name, difference(actual, expected.gradients, expected.losses)))
        errors.append((f"weights after {actual.name}", tiny.error(actual.after, expected.after)))
    value, note = worst(errors, "no batch")
    return Observed(value, f"{family} on {neuron.name}, {SHOWN}; {note}")
