"""Continuation of a stopped rule from a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Callable

from throughtime.algorithms.base import LearningRule
from throughtime.checks.tiny import CLASSES, STEPS, error, seeded, sequence
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification
from throughtime.harness.batches import learn_batch
from throughtime.harness.clock import Clock
from throughtime.harness.tensor_file import packed, unpacked
from throughtime.harness.updater import Updater
from throughtime.networks.recurrent import Recurrent
from throughtime.passes.checkpoint import restore, state_of
from throughtime.spec import Training


def continued(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    """Return the difference of the weights after two batches between an uninterrupted rule and a fresh rule and network
    that continue from a checkpoint after the first batch; an epoch ends between the batches."""
    anew, first, second = copy.deepcopy(network), Batch(*sequence()), Batch(*sequence(STEPS, 17))

    def start(rule: LearningRule, network: Recurrent) -> Updater:
        rule.start(network, Classification(CLASSES), STEPS)
        trainable = [p for p in network.parameters() if p.requires_grad]
        # Clipping would give all gradients one length, whatever state the rule has.
        return Updater([*trainable, *rule.parameters()], Training(clip=None), Clock())

    def go_on(rule: LearningRule, update: Updater) -> None:
        rule.end_epoch()
        learn_batch(rule, second, update)

    before, after = rule(), rule()
    with seeded(11):
        update = start(before, network)
        learn_batch(before, first, update)
        checkpoint = packed(state_of(before, network, update))
        go_on(before, update)
    with seeded(11):
        update = start(after, anew)
        restore(unpacked(checkpoint), after, anew, update)
        go_on(after, update)
    return error([*anew.parameters()], [*network.parameters()])
