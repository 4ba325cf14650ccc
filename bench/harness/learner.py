"""A learning rule for users' own training loops."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim import Optimizer

from throughtime.algorithms.base import LearningRule, Observation
from throughtime.algorithms.bptt import BPTT
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Task
from throughtime.errors import DivergedError, UsageError, first_line
from throughtime.harness.batch_checks import check_batch
from throughtime.harness.batches import learn_batch
from throughtime.harness.learner_checks import (
    check_arguments,
    check_clip,
    check_optimiser,
    check_state,
    identity,
    supported,
)
from throughtime.harness.rule_state import restore_attributes, saved_attributes
from throughtime.harness.updater import all_finite
from throughtime.harness.updater import clip as clip_norm
from throughtime.networks.base import Network
from throughtime.numerics.flat import Flat
from throughtime.numerics.trees import Tree, tensors


class Learner:
    """Trains a network with a learning rule, batch by batch; the caller owns data and optimiser.

    The rule decides when to update: BPTT once per batch, FPTT once per part of the sequence. The results are bit for
    bit those of a suite with the same network, rule, batches and optimiser.

    Weights must be loaded before the learner is built, or by its `load_state_dict`: a rule may keep a state that
    belongs to them, such as FPTT's running mean.

    Args:
        network: a network that the rule supports.
        rule: a learning rule that no other learner uses.
        task: the task, which defines the loss: `Classification(10)`, or the task of a dataset.
        steps: T, the number of time steps of each sequence.
        clip: upper bound of the norm of the whole gradient at an update; None: no clipping. As with clip_grad_norm_, a
            norm from 1.8e19 on is infinite in float32, and the gradient becomes 0.

    Raises:
        UsageError: an argument has another type, or clip is not above 0. The rule belongs to another learner, or the
            network has fewer outputs than the task has classes. Or the rule cannot train this network on this task;
            the message gives the reason.

    Example:
        >>> network = tt.build_network("recurrent", 3, 2, neuron="ltc", hidden=[8])
        >>> learner = tt.Learner(network, tt.build_rule("fptt", parts=5), Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> for _ in range(3):
        ...     x, target = torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0])  # [steps, batch, inputs], [batch]
        ...     loss = learner.learn(x, target, optimiser)
        >>> learner.end_epoch().keys()  # FPTT sets the weights to their mean
        dict_keys(['regulariser_ratio'])
    """

    def __init__(self, network: Network, rule: LearningRule, task: Task, steps: int, clip: float | None = None) -> None:
        check_arguments(network, rule, task, steps)
        if reason := supported(rule, network, task, steps):
            raise UsageError(reason)
        check_clip(clip)
        self.network, self.rule, self.task, self.steps, self.clip = network, rule, task, steps, clip
        rule.start(network, task, steps)
        self._trains = [
            (f"{path}.{key}".lstrip("."), module._parameters, key, p, p.requires_grad)
            for path, module in network.named_modules()
            for key, p in module._parameters.items()
            if p is not None
        ]
        self._flat = Flat([*(p for p in network.parameters() if p.requires_grad), *rule.parameters()])
        self._identity = identity(rule)

    def parameters(self) -> list[Tensor]:
        """Return the parameters of the network and of the rule itself (learnt feedback weights), for an optimiser.

        Parameters that are contiguous in memory are returned as one flat tensor, as in the runs of a suite, so that an
        update takes few operations. An optimiser that treats each number alike, such as SGD or Adam, may use them. One
        that depends on the shape of a parameter (Adafactor, Muon) or has parameter groups takes `network.parameters()`.
        """
        return list(self._flat.weights)

    def learn(self, x: Tree, target: Tree, optimiser: Optimizer) -> Tensor:
        """Train on one batch of sequences. Gradients in `.grad` from elsewhere are cleared first.

        Args:
            x: [steps, batch, inputs].
            target: [batch] classes or [batch, outputs] numbers; with a leading dimension `steps` where the task has a
                target at each step.
            optimiser: a torch optimiser that needs no closure, over `parameters()`, or over some of the network's own.

        Returns:
            The mean loss over the rule's windows, a scalar without a graph.

        Raises:
            ValueError: x has a different number of steps.
            DivergedError: a weight became infinite or NaN. The loss may be finite, because a neuron whose membrane is
                NaN emits no spike.
            UsageError: a parameter was frozen, unfrozen, replaced or moved since this learner was made, for instance by
                a deep copy or `p.data = ...`. The optimiser has no parameter of this learner. Or x or the target has
                another type, dtype or shape, or a class is out of range (tested on the CPU only). x requires a
                gradient, and the rule is not BPTT, which alone computes it. Or autocast is on.
        """
        self._check()
        check_optimiser(optimiser, (*self._flat.weights, *self._flat.parameters))
        check_batch(x, target, self.network, self.task)
        if not isinstance(self.rule, BPTT) and any(part.requires_grad for part in tensors(x)):
            raise UsageError("x requires a gradient, which this rule does not compute", hint="pass x.detach()")
        batch = Batch(x, target, self.task.per_step)
        if batch.steps != self.steps:
            raise ValueError(f"x has {batch.steps} steps; the learner expects {self.steps}")
        for p in self._flat.parameters:
            p.grad = None  # of the user's own backward pass, or of a batch that an exception ended
        loss = learn_batch(self.rule, batch, lambda: self._update(optimiser))
        if not all_finite(self._flat.weights):
            raise DivergedError("a weight is infinite or NaN")
        return loss

    def end_epoch(self) -> dict[str, Observation]:
        """End a pass over the training data, as a suite does after each epoch: FPTT sets the weights to their mean.

        Returns:
            What the rule measured over the epoch, by name.
        """
        self._check()
        return self.rule.end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of network and rule between two batches, for `torch.save`. The tensors are no copies.

        The optimiser has a `state_dict` of its own. Rules that draw random numbers also need torch's random state.

        Raises:
            CannotKeepError: an attribute of the rule cannot be saved.
        """
        return {
            "network": self.network.state_dict(),
            "rule": saved_attributes(self.rule, self.network, _no_update),
            "identity": self._identity,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the `state_dict` of a learner that was built in the same way; training is then bit for bit that
        of the other learner.

        Raises:
            UsageError: the state is that of another rule, of other options or of another number of steps; nothing is
                restored. Or it does not fit the network; network and rule are then restored in part.
        """
        try:
            check_state(state, self._identity)
            self.network.load_state_dict(state["network"])
            # A copy, because the rule may take tensors of the state as its own.
            restore_attributes(copy.deepcopy(state["rule"]), self.rule, self.network, _no_update)
        except Exception as error:  # a state of other components may raise any exception
            raise UsageError(f"the state does not fit this learner: {first_line(error)}") from error

    def _check(self) -> None:
        """Refuse a network whose parameters are not those that rule and optimiser hold."""
        anew = "build the Learner anew, with a new rule"
        for name, owner, key, p, trained in self._trains:
            if owner.get(key) is not p:
                raise UsageError(f"{name} was replaced after its learner was made", hint=anew)
            if p.requires_grad != trained:
                raise UsageError(f"requires_grad of {name} changed after its learner was made", hint=anew)
        if not self._flat.shares_memory():
            raise UsageError("the parameters were moved or copied after their learner was made", hint=anew)

    def _update(self, optimiser: Optimizer) -> None:
        """Clip, step and clear the gradients, whose memory the parameters and the flat tensors share."""
        flat, gradients = self._flat, self._flat.gradients()
        if self.clip is not None:
            clip_norm(gradients, self.clip)
        for w, gradient in zip(flat.weights, gradients, strict=True):
            w.grad = gradient
        optimiser.step()
        for p in (*flat.weights, *flat.parameters):
            p.grad = None
        increment_version(flat.parameters)  # a backward pass through an older graph is then refused


def _no_update() -> None:
    """Stand for the update of a batch, a function, which no state contains."""
