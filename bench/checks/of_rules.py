"""Facts of learning rules: what the contract asks, and what each rule claims of itself."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.checks.fact import DoesNotApplyError, Fact, Found, worst
from throughtime.checks.of_continuing import continued
from throughtime.checks.tiny import (
    BATCH,
    CLASSES,
    STEPS,
    Gradients,
    Listening,
    Recorder,
    backprop,
    error,
    gradient,
    learn,
    made,
    seeded,
    sequence,
    show,
    supporting,
    windows,
)
from throughtime.checks.window import stepped
from throughtime.datasets.task import Classification
from throughtime.errors import first_line
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.trees import detached, tensors
from throughtime.registry import Component

NO_NEURON = "it supports no registered neuron"
TASK = Classification(CLASSES)


def on_each_neuron(find: Callable[[Callable[[], LearningRule], Recurrent], float]) -> Callable[[Component], Found]:
    """The worst over all neurons that the rule supports; `find` gets a maker of fresh rules and a network."""

    def over_neurons(component: Component) -> Found:
        def rule() -> LearningRule:
            return made(component)

        def with_name(name: str, network: Recurrent) -> float:
            try:
                return find(rule, network)
            except DoesNotApplyError:
                raise
            except Exception as error:
                raise RuntimeError(f"on {name}: {type(error).__name__}: {first_line(error)}") from error

        return worst(((name, with_name(name, network)) for name, network in supporting(rule())), NO_NEURON)

    return over_neurons


def windows_fit(component: Component) -> Found:
    """The longest lies between 1 step and all; they are as long as it at most, one at least, and fill the sequence."""

    def fit(rule: LearningRule, steps: int) -> bool:
        longest = rule.window(steps)
        if not 1 <= longest <= steps:
            return False
        each = rule.windows(steps)
        return min(each, default=0) > 0 and max(each) == longest and sum(each) == steps

    bad = [steps for steps in (1, 2, 7, 12, 100) if not fit(made(component), steps)]
    return Found(len(bad), f"T = {', '.join(map(str, bad))}" if bad else "T = 1, 2, 7, 12, 100")


def reaches_parameters(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    """Parameters that BPTT reaches and the rule does not."""
    total = learn(rule(), network, *sequence()).total()
    exact = backprop(network, *sequence(), TASK, "every")
    return sum(float(b.abs().max()) > 0 and not float(g.abs().max()) > 0 for g, b in zip(total, exact, strict=True))


def repeats(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    twin = copy.deepcopy(network)  # a rule may move weights by itself, which is another fact's to find
    first, again = (learn(rule(), net, *sequence()) for net in (network, twin))
    return error([*first.total()], [*again.total()])


def looks_ahead(component: Component) -> Found:
    """Change what lies behind a cut between two windows: nothing that came before may change with it."""
    steps = 3 * STEPS  # more than any rule takes at once that does not take all
    if made(component).window(steps) == steps:
        raise DoesNotApplyError("it takes the whole sequence at once")

    def before_cut(rule: LearningRule, network: Recurrent, behind: float) -> Gradients:
        (x, target), task = sequence(steps), Listening()
        lengths = rule.windows(steps)
        cut = sum(lengths[: (len(lengths) + 1) // 2])
        x[cut:] *= behind
        with seeded(11):
            rule.start(network, task, steps)
            recorder = Recorder(network, 0.0, rule.parameters())
            rule.begin(BATCH, recorder)
            losses = [rule.learn(part.x, part.target, t) for t, part in windows(rule, x, target) if t < cut]
        reported = [loss for loss in losses if loss is not None]
        seen = [*task.outputs, *tensors(getattr(rule, "state", None))]
        pending = [torch.zeros(()) if p.grad is None else p.grad for p in recorder.parameters]
        return [*reported, *seen, *(g for gradients in recorder.gradients for g in gradients), *pending]

    def find(rule: Callable[[], LearningRule], network: Recurrent) -> float:
        one = [part.clone() for part in before_cut(rule(), network, 1.0)]
        network.zero_grad()
        other = before_cut(rule(), network, -3.0)
        return error(one, other) if len(one) == len(other) else float("inf")

    return on_each_neuron(find)(component)


def leaves_the_batch(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    """What windows are views of belongs to the harness."""
    x, target = sequence()
    started = rule()
    with seeded(11):
        started.start(network, TASK, len(x))
    show(started, x, target, Recorder(network, 0.0, started.parameters()))
    return error([x, target], [*sequence()])


def reports(make: Callable[[], LearningRule], network: Recurrent) -> float:
    """Count faults in what the rule reports of its windows, and keeps of them. The harness adds the losses up, so a
    graph would live as long; and a loss must be one of outputs that the network has in that window, by plain steps."""
    (x, target), rule, task = sequence(), make(), Listening()
    with seeded(11):
        rule.start(network, task, len(x))
    with seeded(11), torch.no_grad():
        expected = stepped(network, x, network.initial_state(BATCH)).outputs
    losses, faults = [], 0
    with seeded(11):
        rule.begin(BATCH, Recorder(network, 0.0, rule.parameters()))
        for t, part in windows(rule, x, target):
            task.outputs.clear()
            loss = rule.learn(part.x, part.target, t)
            shown = expected[t : t + part.steps]
            faults += sum(not _runs_within(y, shown) for y in task.outputs)
            faults += sum(s.requires_grad for s in tensors(getattr(rule, "state", None)))
            if loss is not None:
                faults += not task.outputs
                faults += loss.dim() > 0 or loss.requires_grad or not bool(loss.isfinite())
                losses.append(loss)
        rule.end()
    return faults + (not losses)


def _runs_within(y: Tensor, outputs: Tensor) -> bool:
    """Whether the rows y [n · batch, classes] are outputs [steps, batch, classes] of n steps, one after the other."""
    if y.dim() != 2 or len(y) % BATCH:
        return False
    n, steps = len(y) // BATCH, y.unflatten(0, (-1, BATCH))
    return any(error([steps], [outputs[t : t + n]]) < 1e-9 for t in range(len(outputs) - n + 1))


def distance_to_bptt(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    """Of the loss at the end or at every step, whichever the rule minimises; after another batch."""
    x, target = sequence()
    total = learn(rule(), network, x, target, after=sequence(STEPS, 17)).total()
    return min(error(total, backprop(network, x, target, TASK, loss_at)) for loss_at in ("end", "every"))


def outside_windows(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    """How much of the gradient is no combination of the windows' gradients, each with the state before held constant.

    Any weights for the losses of single steps are allowed. After another batch."""
    x, target = sequence()
    total = torch.cat([g.flatten() for g in learn(rule(), network, x, target, after=sequence(STEPS, 17)).total()])
    with seeded(11):
        state = network.initial_state(BATCH)
    spanning = []
    for part in x.split(rule().windows(len(x))):
        for x_t in part:
            step, state = network(x_t, state)
            spanning.append(torch.cat([g.flatten() for g in gradient(TASK.loss(step.output, target), network)]))
        state = detached(state)
    basis = torch.stack(spanning, 1)
    weights = torch.linalg.lstsq(basis, total[:, None], driver="gelsd").solution
    return float((basis @ weights - total[:, None]).norm() / total.norm())


def misalignment(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    """1 − cosine to BPTT's gradient, of the loss that the rule is nearer to; without the readout, where no time is.

    Of the parameter where it is largest. But feedback drawn at random has directions on both sides of a right angle,
    at 1: of a rule that draws when it starts it is the mean over draws, of all parameters together. What is turned
    around lies near 2.
    """
    x, target = sequence()

    def cosines(seed: int, together: bool) -> Tensor:
        """Of both losses and of each parameter, [2, parameters]."""
        total = learn(rule(), network, x, target, after=sequence(STEPS, 17), start_seed=seed).total()
        names = [name for name, p in network.named_parameters() if p.requires_grad]
        inside = [k for k, name in enumerate(names) if not name.startswith("readout")]
        if not inside:
            raise DoesNotApplyError("it trains the readout alone")

        def parts(gradients: Gradients) -> Gradients:
            each = [gradients[k].flatten() for k in inside]
            return [torch.cat(each)] if together else each

        exact = [parts(backprop(network, x, target, TASK, loss_at)) for loss_at in ("end", "every")]
        found = parts(total)
        return torch.stack(
            [torch.stack([torch.cosine_similarity(a, b, dim=0) for a, b in zip(found, e, strict=True)]) for e in exact]
        )

    each = cosines(11, together=False)
    if not torch.equal(each, cosines(12, together=False)):
        each = torch.stack([cosines(seed, together=True) for seed in range(11, 19)]).mean(0)
    return 1 - float(each.min(1).values.max())


def one_time_step(component: Component) -> Found:
    """With one step there is no time to drop credit in; an approximate rule must still be exact at the readout."""
    approximate = made(component).claims.gradient == "approximate"

    def find(rule: Callable[[], LearningRule], network: Recurrent) -> float:
        x, target = sequence(1)
        total = learn(rule(), network, x, target, after=sequence(1, 17)).total()
        exact = backprop(network, x, target, TASK, "end")
        names = [name for name, p in network.named_parameters() if p.requires_grad]
        held = [k for k, name in enumerate(names) if not approximate or name.startswith("readout")]
        return error([total[k] for k in held], [exact[k] for k in held])

    each = ((name, find(lambda: made(component), net)) for name, net in supporting(made(component), steps=1))
    value, note = worst(each, NO_NEURON)
    return Found(value, f"readout only; {note}" if approximate else note)


def weights_move_by_updates(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    before = [p.detach().clone() for p in network.parameters()]
    learn(rule(), network, *sequence())
    return error([*network.parameters()], before)


def leaves_no_gradient(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    recorder = learn(rule(), network, *sequence())
    left = sum(p.grad is not None for p in (*network.parameters(), *recorder.own))
    return left if recorder.gradients else float("inf")


def memory_slope(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    """Bytes a step, the largest between three lengths; none so short that two blocks of e-prop's would not fill it."""
    lengths = (50, 65, 80)
    if rule().claims.memory == "O(K)" and len({rule().window(steps) for steps in lengths}) > 1:
        raise DoesNotApplyError("its window grows with T")
    return max(_slopes(rule, network, lengths))


def memory_growth(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    """Bytes a step between the two longer of three lengths, over those between the two shorter."""
    short, long = _slopes(rule, network, (20, 40, 80))
    return long / short if short else 1.0 if long <= 0 else float("inf")


def _slopes(rule: Callable[[], LearningRule], network: Recurrent, lengths: tuple[int, ...]) -> list[float]:
    peaks = [_live(rule(), network, steps)[0] for steps in lengths]
    return [(b - a) / (n - m) for a, b, m, n in zip(peaks, peaks[1:], lengths, lengths[1:], strict=False)]


def lets_go(rule: Callable[[], LearningRule], network: Recurrent) -> float:
    return max(abs(_live(rule(), network, steps)[1]) for steps in (10, 20))


def _live(rule: LearningRule, network: Recurrent, steps: int) -> tuple[int, int]:
    """Exact bytes of tensors over one batch: the peak without the batch, and what is left at its end, when the harness
    has let go of the batch too, over what was there before."""
    with LiveBytes() as live, seeded(11):
        rule.start(network, TASK, steps)
        update = Forgetful(network, 0.0, rule.parameters())
        before = live.current
        x, target = sequence(steps)
        batch = live.current - before
        live.reset_peak()
        rule.begin(BATCH, update)
        for t, part in windows(rule, x, target):
            rule.learn(part.x, part.target, t)
        peak = live.peak - batch
        rule.end()
        del x, part, target
        if live.current != before:
            gc.collect()  # what waits for the collector will go
        left = live.current - before
    return peak, left


class Forgetful(Recorder):
    """A recorder that keeps nothing: it must not grow itself."""

    def __call__(self) -> None:
        for p in (*self.parameters, *self.own):
            p.grad = None


OF_GRADIENT = {
    "exact": Fact("claims exact: gradient = BPTT's", 1e-10, on_each_neuron(distance_to_bptt)),
    "truncated": Fact("claims truncated: gradient within its windows' own", 1e-10, on_each_neuron(outside_windows)),
    "approximate": Fact("claims approximate: 1 − cosine to BPTT's", 1.5, on_each_neuron(misalignment)),
}
OF_MEMORY = {
    "O(1)": Fact("claims O(1): exact bytes a step of T", 0, on_each_neuron(memory_slope)),
    "O(K)": Fact("claims O(K): exact bytes a step of T", 0, on_each_neuron(memory_slope)),
    "O(T)": Fact("claims O(T): exact bytes a step, long T over short", 1.1, on_each_neuron(memory_growth)),
}


def _claimed(facts: Mapping[str, Fact], claim: str) -> Fact:
    if claim not in facts:
        raise ValueError(f'it claims "{claim}"; there is: {", ".join(facts)}')
    return facts[claim]


def facts(component: Component) -> tuple[Fact, ...]:
    """What must hold of a rule, by what it claims."""
    claims = made(component).claims
    return (
        Fact("windows lie between 1 step and all", 0, windows_fit),
        Fact("every parameter gets a gradient", 0, on_each_neuron(reaches_parameters)),
        Fact("same seed, same gradients", 0, on_each_neuron(repeats)),
        Fact("sees nothing of later windows", 0, looks_ahead),
        Fact("leaves the batch as it was", 0, on_each_neuron(leaves_the_batch)),
        Fact("reports losses of its network's outputs, without a graph", 0, on_each_neuron(reports)),
        _claimed(OF_GRADIENT, claims.gradient),
        Fact("one step = BPTT", 1e-10, one_time_step),
        Fact("weights move by updates alone", 0, on_each_neuron(weights_move_by_updates)),
        Fact("the last update leaves no gradient", 0, on_each_neuron(leaves_no_gradient)),
        Fact("stopped and continued: the same weights", 0, on_each_neuron(continued)),
        _claimed(OF_MEMORY, claims.memory),
        Fact("exact bytes after a sequence as before", 0, on_each_neuron(lets_go)),
    )
