"""Tiny networks, sequences, and a recording substitute for the harness, with which facts are evaluated."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule, LossAt
from throughtime.checks.fact import DoesNotApplyError
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Classification, Regression, Task
from throughtime.harness.learner_checks import supported
from throughtime.networks.base import Network
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Neuron
from throughtime.registry import NEURONS, Component

STEPS, BATCH, INPUTS, SIZE, CLASSES = 12, 5, 3, 5, 4


class Size(NamedTuple):
    """Sizes of the networks and sequences with which facts are evaluated."""

    steps: int
    batch: int
    units: int


LARGE = Size(steps=40, batch=70, units=96)
"""Sizes large enough that compiled loops and products take other code paths than at tiny sizes."""
TINY = Size(STEPS, BATCH, SIZE)
_size: ContextVar[Size] = ContextVar("size", default=TINY)


@contextmanager
def sized(size: Size) -> Iterator[None]:
    """Set the size of `recurrent` and `sequence` in the context."""
    token = _size.set(size)
    try:
        yield
    finally:
        _size.reset(token)


def is_tiny() -> bool:
    """Return whether the sizes are the tiny ones."""
    return _size.get() == TINY


def with_batch(batch: int) -> Size:
    """Return the tiny sizes with another batch; the larger sizes as they are."""
    return TINY._replace(batch=batch) if is_tiny() else _size.get()


def units() -> int:
    """Return the number of neurons of a layer."""
    return _size.get().units


Gradients = list[Tensor]
"""One tensor for each trainable parameter of a network, in the network's order."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from this seed in the context; the caller's generator stays unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes 1 ms for devices that are not there
        yield


def build(component: Component, *arguments: Any, **options: Any) -> Any:
    """Build a component with its defaults.

    Raises:
        DoesNotApplyError: an option has no default.
    """
    if missing := [name for name in component.required if name not in options]:
        raise DoesNotApplyError(f"it needs {', '.join(missing)}")
    return component.factory(*arguments, **options)


def recurrent(neuron: Component | Callable[[int], Any], **options: Any) -> Recurrent:
    """Return a recurrent network in float64, with the same weights at every call; one layer by default."""
    factory: Callable[..., Neuron] = (lambda size: build(neuron, size)) if isinstance(neuron, Component) else neuron
    with seeded(3):
        return Recurrent(INPUTS, CLASSES, factory, **{"hidden": [units()], **options}).double()


def _can_be_built(neuron: Component) -> bool:
    with suppress(Exception):
        build(neuron, SIZE)
        return True
    return False


_every_structure: ContextVar[bool] = ContextVar("every structure", default=False)


@contextmanager
def with_every_structure(every: bool) -> Iterator[None]:
    """Test rules and networks in the context with a neuron of every structure, or with the `representatives`."""
    token = _every_structure.set(every)
    try:
        yield
    finally:
        _every_structure.reset(token)


def every_structure() -> bool:
    """Return whether rules and networks are tested with a neuron of every structure."""
    return _every_structure.get()


def representatives() -> list[Component]:
    """Return the neurons on which rules and networks are tested: those of other origins, and of the package's own as
    few as have each feature that a rule may treat in its own way; in `with_every_structure`, one of each structure.

    A rule sees of a neuron with equations its kernel, its single steps and its partial derivatives, which the neuron's
    own facts compare with autograd; of two neurons of the same structure it cannot tell which is which. A neuron that
    does not spike under the tiny input would satisfy every identity.
    """
    return [*_representatives(tuple(NEURONS[name] for name in NEURONS.names()), every_structure())]


@functools.cache
def _representatives(neurons: tuple[Component, ...], every: bool) -> list[Component]:
    able = filter(_can_be_built, neurons)
    ordered = sorted(able, key=lambda c: (c.display.order is None, c.display.order, c.name))
    chosen, seen = [component for component in ordered if component.origin != "throughtime"], set[object]()
    for component in ordered:
        if component.origin == "throughtime" and _is_active(component.factory):
            structure = _structure(component)
            new = {structure} if every else {*enumerate(structure)}
            if not new <= seen:
                chosen.append(component)
                seen |= new
    return sorted(chosen, key=lambda component: component.name)


def _structure(component: Component) -> tuple[object, ...]:
    """Return the features of a neuron that a rule may treat in its own way: whether it has equations, spikes, and
    depends on its own state alone; the number of its currents and, at most 3, of its state variables; the dimensions of
    its parameters."""
    with seeded(3):
        neuron: Neuron = build(component, SIZE)
    variables = min(len(neuron.initial_state(1, torch.zeros(1))), 3)
    dimensions = max((p.dim() for p in neuron.parameters()), default=-1)
    return neuron.has_equations, neuron.spiking, neuron.elementwise, neuron.currents, variables, dimensions


@functools.cache
def _is_active(factory: Callable[..., Neuron]) -> bool:
    network, (x, _) = recurrent(lambda size: factory(size)), sequence()
    with torch.no_grad(), seeded(11):
        return not network.spiking or bool(network.unroll(x, network.initial_state(x.shape[1])).spikes[0].any())


def sequence(steps: int | None = None, seed: int = 7, inputs: int = INPUTS) -> tuple[Tensor, Tensor]:
    """Return x [steps, batch, inputs], strong enough that neurons spike, and classes [batch]."""
    size = _size.get()
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(steps or size.steps, size.batch, inputs, dtype=torch.float64, generator=generator)
    return x, torch.randint(CLASSES, (size.batch,), generator=generator)


LOSS_KINDS: tuple[tuple[LossAt, str], ...] = (
    ("end", "classification"),
    ("end", "regression"),
    ("every", "classification"),
    ("every", "regression"),
    ("every", "classes at steps"),
    ("every", "values at steps"),
)
"""Pairs of `loss_at` and kind of task. A task with targets at steps has its loss at every step with any `loss_at`."""


def task_and_target(kind: str, steps: int = STEPS) -> tuple[Task, Tensor]:
    """Return a task of one of the kinds in `LOSS_KINDS`, and targets for a tiny batch; some steps have no target."""
    if kind == "classification":
        return Classification(CLASSES), sequence(1)[1]
    generator = torch.Generator().manual_seed(8)
    if kind == "classes at steps":
        return Classification(CLASSES, per_step=True), torch.randint(-1, CLASSES, (steps, BATCH), generator=generator)
    if kind == "values at steps":
        values = torch.randn(steps, BATCH, CLASSES, dtype=torch.float64, generator=generator)
        return Regression(chance=1.0, per_step=True), values.where(values[..., :1] > -0.5, torch.nan)
    return Regression(chance=1.0), torch.randn(BATCH, CLASSES, dtype=torch.float64, generator=generator)


class Listening(Classification):
    """Classification of a tiny batch that records the outputs of which its loss is computed."""

    def __init__(self, per_step: bool = False) -> None:
        super().__init__(CLASSES, per_step)
        self.outputs: list[Tensor] = []

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        self.outputs.append(outputs.detach().clone())
        return super().loss(outputs, target)


class Recorder:
    """A substitute for the harness's update that records each gradient, then takes a plain gradient step.

    Args:
        network: the network to train.
        rate: the learning rate of the gradient step.
        own: the rule's own parameters: they are updated and cleared with the rest, but their gradients not recorded.
    """

    def __init__(self, network: nn.Module, rate: float = 0.0, own: Sequence[nn.Parameter] = ()) -> None:
        self.parameters, self.rate, self.own = [p for p in network.parameters() if p.requires_grad], rate, own
        self.gradients: list[Gradients] = []

    @torch.no_grad()
    def __call__(self) -> None:
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        self.gradients.append([g.clone() for g in grads])
        for p in (*self.parameters, *self.own):
            if self.rate and p.grad is not None:
                p.sub_(p.grad, alpha=self.rate)
            p.grad = None

    def total(self) -> Gradients:
        """Return the sum of all updates' gradients."""
        return [torch.stack(parts).sum(0) for parts in zip(*self.gradients, strict=True)]


def learn(
    rule: LearningRule,
    network: Network,
    batch: tuple[Tensor, Tensor],
    task: Task | None = None,
    update: Callable[[], None] | None = None,
    rate: float = 0.0,
    after: tuple[Tensor, Tensor] | None = None,
    seeds: tuple[int, int] = (11, 11),
) -> Any:
    """Train a rule on one batch, window by window, as the harness does; return the update, a Recorder by default.

    Args:
        rule, network: the rule, and the network that it trains.
        batch: inputs and targets; the rule gets copies.
        task: classification if left out.
        update: the function that updates, in place of a Recorder.
        rate: the learning rate of the Recorder.
        after: a batch that the rule learns before, with constant weights; no state of it may remain.
        seeds: of the random numbers that the rule draws when it starts, and of those that the network and the rule draw
            during learning.
    """
    (x, target), (start_seed, learning_seed) = batch, seeds
    with seeded(start_seed):
        rule.start(network, task or Classification(CLASSES), len(x))
    if after is not None:
        train_batch(rule, *after, Recorder(network, 0.0, rule.parameters()))
    update = update or Recorder(network, rate, rule.parameters())
    train_batch(rule, x.clone(), target.clone(), update, learning_seed)
    return update


def train_batch(
    rule: LearningRule, x: Tensor, target: Tensor, update: Callable[[], None], seed: int = 11
) -> list[Tensor | None]:
    """Train a started rule on one batch, window by window; return the losses that it reports. The random numbers are
    those with which `backprop` starts."""
    with seeded(seed):
        rule.begin(x.shape[1], update)
        losses = [rule.learn(part.x, part.target, t) for t, part in windows(rule, x, target)]
        rule.end()
    return losses


def windows(rule: LearningRule, x: Tensor, target: Tensor) -> Iterator[tuple[int, Batch]]:
    """Yield the first step of each window of a started rule, and the window: views of the batch, as in the harness."""
    batch, t = Batch(x, target, rule.task.per_step), 0
    for steps in rule.windows(len(x)):
        yield t, batch.window(t, steps)
        t += steps


def supporting(
    rule: LearningRule, steps: int = STEPS, lif_alone: bool = False, **options: Any
) -> Iterator[tuple[str, Recurrent]]:
    """Yield the name and a network of each of the `representatives` that the rule supports; with `lif_alone` of LIF, or
    of the first one if the rule does not support LIF."""
    neurons = representatives()
    for neuron in sorted(neurons, key=lambda component: component.name != "lif") if lif_alone else neurons:
        network = recurrent(neuron, **options)
        if supported(rule, network, Classification(CLASSES), steps) is None:
            yield neuron.name, network
            if lif_alone:
                return


def backprop(network: Network, x: Tensor, target: Tensor, task: Task, loss_at: LossAt, seed: int = 11) -> Gradients:
    """Return the gradient of the whole sequence by autograd over plain steps, not over the network's `unroll`."""
    with seeded(seed):
        state, losses = network.initial_state(x.shape[1]), []
    for t, x_t in enumerate(x):
        step, state = network(x_t, state)
        losses.append(task.loss(step.output, target[t] if task.per_step else target))
    E = losses[-1] if loss_at == "end" else torch.stack(losses).mean()
    return gradient(E, network)


def gradient(E: Tensor, network: Network) -> Gradients:
    """Return ∂E/∂θ for each trainable parameter, zeros for parameters without a gradient; the graph is retained."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return list(torch.autograd.grad(E, parameters, retain_graph=True, allow_unused=True, materialize_grads=True))


@torch.no_grad()
def error(computed: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference over the largest expected number; NaN if there is one, inf if a shape differs."""
    pairs = list(zip(computed, expected, strict=True))
    if any(a.shape != b.shape for a, b in pairs):
        return math.inf
    # Equal infinite numbers, as before the first step of a maximum, do not differ, and are not the largest number.
    size = largest(float(b.nan_to_num(torch.nan, 0.0, 0.0).abs().max()) for _, b in pairs if b.numel())
    difference = largest(float((a - b).where(a != b, 0.0).abs().max()) for a, b in pairs if b.numel())
    return difference / size if size else difference


def largest(values: Iterable[float]) -> float:
    """Return the largest value; NaN if there is one, which `max` may ignore; 0 for no values."""
    values = list(values)
    return math.nan if any(map(math.isnan, values)) else max(values, default=0.0)
