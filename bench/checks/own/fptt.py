"""Identities of FPTT."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from throughtime.algorithms.auxiliary_loss import AuxiliaryLoss
from throughtime.checks import tiny
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.own.truncation import same_updates
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.alif import ALIF
from throughtime.numerics.loops import without_compiled_loops
from throughtime.numerics.trees import detached
from throughtime.registry import ALGORITHMS, Component

TASK, α, RATE = Classification(tiny.CLASSES), 0.2, 0.1


def without_regulariser(component: Component) -> Observed:
    """Return the error of form `none` against truncated BPTT with the same windows and weights, and against BPTT with
    one part, while weights move."""
    errors = []
    for parts in (1, 4, tiny.STEPS, None):
        K = tiny.build(component, parts=parts, form="none").window(tiny.STEPS)
        other: dict[str, Any] = {"name": "tbptt", "window": K, "weights": "ramp"}
        if parts == 1:
            other = {"name": "bptt"}
        name = other.pop("name")
        pairs = same_updates(
            functools.partial(tiny.build, component, parts=parts, form="none"),
            functools.partial(ALGORITHMS[name].factory, **other),
        )
        errors += [(f"{neuron}, K = {parts or 'T'}", value) for neuron, value in pairs]
    return worst(errors, "no neuron")


def equal_weights(component: Component) -> Observed:
    """Return the error of form `none` with equal weights against truncated BPTT with equal weights, while weights
    move."""
    pairs = same_updates(
        functools.partial(tiny.build, component, parts=4, form="none", weights="equal"),
        functools.partial(ALGORITHMS["tbptt"].factory, window=tiny.STEPS // 4),
    )
    return worst(pairs, "no neuron")


def first_step(component: Component) -> Observed:
    """Return the error of the first update against form `none`: with W = W̄ and λ = 0 the regulariser adds nothing."""

    def gradients(form: str, network: Recurrent) -> tiny.Gradients:
        return tiny.learn(tiny.build(component, form=form), network, tiny.sequence()).gradients[0]

    errors = []
    for name, network in tiny.supporting(tiny.build(component)):
        errors.append((f"{name}, code", tiny.error(gradients("code", network), gradients("none", network))))
        with without_compiled_loops():  # the paper's form computes each step twice, which single steps cannot
            errors.append((f"{name}, paper", tiny.error(gradients("paper", network), gradients("none", network))))
    return worst(errors, "no neuron")


def both_ways(identity: Callable[..., Observed]) -> Callable[..., Observed]:
    """Return an identity of both the compiled pass and the tensor operations in its place; its value is the larger."""

    @functools.wraps(identity)
    def held(*arguments: Any) -> Observed:
        compiled = identity(*arguments)
        with without_compiled_loops():
            operations = identity(*arguments)
        return max(
            compiled, operations, key=lambda observed: math.inf if math.isnan(observed.value) else observed.value
        )

    return held


@both_ways
def small_alpha(component: Component) -> Observed:
    """Return the error of R's gradient, which is proportional to α, at α/100; at β = 1/2, W̄ would equal W at first."""
    x, target = tiny.sequence()

    def grad_R(alpha: float) -> Tensor:
        rules = (tiny.build(component, parts=4, alpha=alpha, beta=0.3), tiny.build(component, parts=4, form="none"))
        with_R, without = (
            tiny.learn(rule, tiny.recurrent(ALIF), (x, target), rate=RATE).gradients[1] for rule in rules
        )
        return torch.cat([(a - b).flatten() for a, b in zip(with_R, without, strict=True)])

    return Observed(tiny.error([grad_R(1e-3) * 100], [grad_R(1e-1)]))


def trained(component: Component, **options: Any) -> tuple[Any, Recurrent, list[dict[str, list[Tensor]]]]:
    """Return a rule after a sequence with moving weights, its network, and λ and W before each update."""
    x, target = tiny.sequence()
    rule, network = tiny.build(component, alpha=α, **options), tiny.recurrent(ALIF)
    history: list[dict[str, list[Tensor]]] = []

    class Spy(tiny.Recorder):
        def __call__(self) -> None:
            form = rule.regulariser
            history.append(
                {"λ": [λ.clone() for λ in getattr(form, "lam", [])], "W": [w.detach().clone() for w in form.W]}
            )
            super().__call__()

    tiny.learn(rule, network, (x, target), update=Spy(network, RATE))
    return rule, network, history


@both_ways
def mean_forgets(component: Component) -> Observed:
    """Return the error of W̄ = W − λ/(2α) at β = 1/2, with λ before the update."""
    rule, network, history = trained(component, beta=0.5)
    expected = [w.detach() - λ / (2 * α) for w, λ in zip(network.parameters(), history[-1]["λ"], strict=True)]
    return Observed(tiny.error(rule.regulariser.mean, expected))


@both_ways
def second_order_filter(component: Component) -> Observed:
    """Return the error of λ_{t+1} = λ_t − λ_{t−1}/2 − α (W_{t+1} − W_t), a damped filter, at β = 1/2."""
    _, _, history = trained(component, beta=0.5)
    errors = []
    for t in range(2, len(history) - 1):
        λ, before, after = history[t]["λ"], history[t - 1]["λ"], history[t + 1]["λ"]
        steps = zip(history[t + 1]["W"], history[t]["W"], strict=True)
        expected = [a - b / 2 - α * (v - w) for a, b, (v, w) in zip(λ, before, steps, strict=True)]
        errors.append((f"update {t}", tiny.error(after, expected)))
    return worst(errors, "too few updates")


def adopts_mean(component: Component) -> Observed:
    """Return the error of W ← W̄ at the end of an epoch, in both forms."""
    errors = []
    for form in ("code", "paper"):
        rule, network, _ = trained(component, form=form)
        mean = [w.clone() for w in rule.regulariser.mean]
        rule.end_epoch()
        errors.append((form, tiny.error([*network.parameters()], mean)))
    return worst(errors, "no form")


@both_ways
def written_out(component: Component, form: str) -> Observed:
    """Return the error of the rule's weights after a sequence against autograd of the published dynamic loss."""
    x, target = tiny.sequence(tiny.STEPS - 1)  # 4 parts of unequal length
    errors = []
    rule = tiny.build(component, form=form)
    for (name, network), (_, twin) in zip(tiny.supporting(rule), tiny.supporting(rule), strict=True):
        code_options = {"beta": 0.3, "rho": 0.25} if form == "code" else {}
        tiny.learn(tiny.build(component, form=form, parts=4, alpha=α, **code_options), network, (x, target), rate=RATE)
        if form == "code":
            _by_code(twin, [[(x, target)]])
        else:
            _by_paper(twin, x, target)
        errors.append((name, tiny.error([*network.parameters()], [*twin.parameters()])))
    return worst(errors, "no neuron")


@both_ways
def other_alpha(component: Component) -> Observed:
    """Return the error of the weights after a sequence against autograd, where λ and W̄ are updated with another α."""
    (x, target), other = tiny.sequence(tiny.STEPS - 1), 0.7
    network, twin = tiny.recurrent(ALIF), tiny.recurrent(ALIF)
    rule = tiny.build(component, parts=4, alpha=α, update_alpha=other, beta=0.3, rho=0.25)
    tiny.learn(rule, network, (x, target), rate=RATE)
    _by_code(twin, [[(x, target)]], update_α=other)
    return Observed(tiny.error([*network.parameters()], [*twin.parameters()]))


@both_ways
def two_epochs(component: Component) -> Observed:
    """Return the error of the weights after two epochs of seven batches against autograd: λ and W̄ go on from batch to
    batch, and W = W̄ between the epochs."""
    network, twin = tiny.recurrent(ALIF), tiny.recurrent(ALIF)
    rule, update = tiny.build(component, parts=4, alpha=α, beta=0.3, rho=0.25), tiny.Recorder(network, RATE)
    epochs = [[tiny.sequence(tiny.STEPS, 100 + 7 * epoch + k) for k in range(7)] for epoch in range(2)]
    with tiny.seeded(11):
        rule.start(network, TASK, tiny.STEPS)
    for epoch, batches in enumerate(epochs):
        if epoch:
            rule.end_epoch()
        for x, target in batches:
            tiny.train_batch(rule, x, target, update)
    _by_code(twin, epochs)
    return Observed(tiny.error([*network.parameters()], [*twin.parameters()]))


def resets_lambda(component: Component) -> Observed:
    """Return the largest entry of R's gradient after an epoch with `reset_lambda`, where W = W̄; infinite if it is 0
    without, too."""
    gradients = []
    for reset_lambda in (True, False):
        rule, _, _ = trained(component, reset_lambda=reset_lambda)
        rule.end_epoch()
        gradients.append(max(float(g.abs().max()) for g in rule.regulariser.gradient()))
    reset, continued = gradients
    return Observed(reset if continued > 0 else math.inf, f"otherwise {continued:.1g}")


def _by_code(network: Recurrent, epochs: Sequence[Sequence[tuple[Tensor, Tensor]]], update_α: float = α) -> None:
    """Take plain gradient steps on w l + (ρ − 1) ⟨W, λ⟩ + (α/2) ‖W − W̄‖²; W = W̄ between epochs."""
    β, ρ = 0.3, 0.25
    W = [p for p in network.parameters() if p.requires_grad]
    mean, λ = [w.detach().clone() for w in W], [torch.zeros_like(w) for w in W]
    for epoch, batches in enumerate(epochs):
        if epoch:
            with torch.no_grad():
                for w, m in zip(W, mean, strict=True):
                    w.copy_(m)
        for loss in (loss for batch in batches for loss in _parts(network, *batch)):
            terms = zip(W, mean, λ, strict=True)
            R = sum((ρ - 1) * (w * p).sum() + α / 2 * (w - m).square().sum() for w, m, p in terms)
            _descend(W, loss() + R)
            with torch.no_grad():
                λ = [p - update_α * (w - m) for w, m, p in zip(W, mean, λ, strict=True)]
                mean = [(1 - β) * m + β * w - β / update_α * p for w, m, p in zip(W, mean, λ, strict=True)]


def _by_paper(network: Recurrent, x: Tensor, target: Tensor) -> None:
    """Take plain gradient steps on w l + (α/2) ‖W − W̄ − ∇l/(2α)‖²."""
    W = [p for p in network.parameters() if p.requires_grad]
    mean, last = [w.detach().clone() for w in W], [torch.zeros_like(w) for w in W]
    for loss in _parts(network, x, target):
        R = sum(α / 2 * (w - m - g / (2 * α)).square().sum() for w, m, g in zip(W, mean, last, strict=True))
        _descend(W, loss() + R)
        last = list(torch.autograd.grad(loss(), W, allow_unused=True, materialize_grads=True))
        with torch.no_grad():
            mean = [(m + w) / 2 - g / (2 * α) for w, m, g in zip(W, mean, last, strict=True)]


def _parts(network: Recurrent, x: Tensor, target: Tensor) -> Iterator[Callable[[], Tensor]]:
    """Yield, for each of 4 parts, a function that returns its weighted loss at the current weights.

    The next part starts from the final state of the first call, which uses the weights before the update.
    """
    with tiny.seeded(11):
        state = network.initial_state(x.shape[1])
    T, K = len(x), 4
    for p in range(K):
        part = x[p * T // K : (p + 1) * T // K]
        begun: Any = state
        ends: list[Any] = []

        def loss(part: Tensor = part, begun: Any = begun, p: int = p, ends: list[Any] = ends) -> Tensor:
            now = begun
            for x_t in part:
                step, now = network(x_t, now)
            ends.append(detached(now))
            return (p + 1) / K * TASK.loss(step.output, target)

        yield loss
        state = ends[0]


def _descend(W: Sequence[Tensor], E: Tensor) -> None:
    gradients = torch.autograd.grad(E, W, allow_unused=True, materialize_grads=True)
    with torch.no_grad():
        for w, g in zip(W, gradients, strict=True):
            w.sub_(g, alpha=RATE)


def auxiliary_table(component: Component) -> Observed:
    """Return the error of the table without a loop over samples against the authors' scan of each batch."""
    parts, batch = 3, 9
    generator = torch.Generator().manual_seed(13)
    table, scanned = AuxiliaryLoss(tiny.CLASSES, parts, 0, torch.zeros((), dtype=torch.float64)), Scan()
    errors = []
    for trial in range(12):
        y = torch.randn(batch, tiny.CLASSES, dtype=torch.float64, generator=generator)
        target, part = torch.randint(tiny.CLASSES, (batch,), generator=generator), trial % parts
        errors.append((f"trial {trial}", tiny.error([table(y, target, part, 0)], [scanned.loss(y, target, part)])))
        table.learn(y, target, part)
        scanned.learn(y, target, part)
    return worst(errors, "no trial")


class Scan:
    """The authors' auxiliary table: a loop over the samples of a batch."""

    def __init__(self) -> None:
        self.Q: dict[tuple[int, int], Tensor] = {}

    def loss(self, y: Tensor, target: Tensor, part: int) -> Tensor:
        unknown = torch.zeros(tiny.CLASSES, dtype=torch.float64)
        q = torch.stack([self.Q.get((int(c), part), unknown) for c in target])
        return -(q * F.log_softmax(y, 1)).mean()

    def learn(self, y: Tensor, target: Tensor, part: int) -> None:
        seen = set()
        for p, c in zip(F.softmax(y.detach(), 1), target.tolist(), strict=True):
            if c not in seen and int(p.argmax()) != c:
                self.Q[c, part] = p
                seen.add(c)


def auxiliary_in_the_loss(component: Component) -> Observed:
    """Return the error of each part's gradient against autograd's of w l + (1 − w) L_aux, where L_aux is uniform in the
    first epochs, then of the table."""
    (x, target), parts, errors = tiny.sequence(), 3, []
    network, scanned = tiny.recurrent(ALIF), Scan()
    rule = tiny.build(component, parts=parts, form="none", auxiliary="authors", auxiliary_uniform_epochs=1)
    with tiny.seeded(11):
        rule.start(network, TASK, tiny.STEPS)
    for when in ("a uniform epoch", "the table of that epoch"):
        recorder = tiny.Recorder(network)
        tiny.train_batch(rule, x, target, recorder)
        rule.end_epoch()
        with tiny.seeded(11):
            state = network.initial_state(x.shape[1])
        for p, part in enumerate(x.chunk(parts)):
            for x_t in part:
                step, state = network(x_t, state)
            y, w, state = step.output, (p + 1) / parts, detached(state)
            uniform = -F.log_softmax(y, 1).mean() / tiny.CLASSES
            L_aux = uniform if when == "a uniform epoch" else scanned.loss(y, target, p)
            expected = tiny.gradient(w * TASK.loss(y, target) + (1 - w) * L_aux, network)
            errors.append((f"{when}, part {p}", tiny.error(recorder.gradients[p], expected)))
            scanned.learn(y, target, p)
    return worst(errors, "no part")


FPTT = (
    Fact("form none: = truncated BPTT; K = 1: = BPTT", 1e-10, without_regulariser),
    Fact("form none, equal weights: = truncated BPTT", 1e-10, equal_weights),
    Fact("first update: gradient of R is 0", 0, first_step),
    Fact("code form: gradient of R is proportional to α", 1e-9, small_alpha),
    Fact("code form, β = 1/2: W̄ = W − λ/(2α)", 1e-12, mean_forgets),
    Fact("code form, β = 1/2: λ is a damped filter", 1e-12, second_order_filter),
    Fact("code form = autograd of its loss", 1e-10, lambda component: written_out(component, "code")),
    Fact("code form, another α in its update: = autograd", 1e-10, other_alpha),
    Fact("code form, two epochs of seven batches = autograd", 1e-10, two_epochs),
    Fact("paper form = autograd of its loss", 1e-10, lambda component: written_out(component, "paper")),
    Fact("end of an epoch: W = W̄", 0, adopts_mean),
    Fact("reset_lambda: after an epoch, gradient of R is 0", 0, resets_lambda),
    Fact("auxiliary table = the authors' scan", 1e-12, auxiliary_table),
    Fact("auxiliary loss = autograd of the weighted sum", 1e-10, auxiliary_in_the_loss),
)
