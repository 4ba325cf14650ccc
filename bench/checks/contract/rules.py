"""Facts of learning rules: the contract, and each rule's claims."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.checks import tiny
from throughtime.checks.cases import Case, cases, small_cases
from throughtime.checks.contract import coordinates
from throughtime.checks.contract.alignment import is_aligned, is_known
from throughtime.checks.contract.checkpoint import continued
from throughtime.checks.contract.cost import is_off_its_formulas, misses_its_schedule, neuron_of
from throughtime.checks.contract.credit import CREDIT
from throughtime.checks.contract.dtypes import in_both
from throughtime.checks.contract.gradient import (
    Rule,
    distance_to_bptt,
    distance_to_windows,
    draws_while_learning,
    misalignment,
    misreported,
    readout_error,
)
from throughtime.checks.contract.memory import fixed_window, lets_go, memory_growth, memory_slope, root_growth
from throughtime.checks.contract.trajectory import differs_from_family, strays
from throughtime.checks.fact import DoesNotApplyError, Fact, Observed, worst, worst_of
from throughtime.checks.window import stepped
from throughtime.datasets.task import Classification
from throughtime.errors import first_line
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.trees import tensors
from throughtime.registry import NEURONS, Component

NO_NEURON = "it supports no registered neuron"
TASK = Classification(tiny.CLASSES)


def on_each_case(
    find: Callable[[Rule, Case], float | Observed],
    which: Callable[[LearningRule], list[Case]] = cases,
    shown: Callable[[Case], str] = Case.shown,
) -> Callable[[Component], Observed]:
    """Return a fact's function that finds the worst value over all cases of a rule.

    Args:
        find: takes a function that returns a fresh rule, and a case; returns the value, with a note or without.
        which: returns the cases of a rule.
        shown: returns the name of a case.
    """

    def over_cases(component: Component) -> Observed:
        def rule() -> LearningRule:
            return tiny.build(component)

        def judge(name: str, case: Case) -> tuple[str, float]:
            try:
                finding = find(rule, case)
            except DoesNotApplyError:
                raise
            except Exception as raised:
                raise RuntimeError(f"on {name}: {type(raised).__name__}: {first_line(raised)}") from raised
            return (f"{name}, {finding.note}", finding.value) if isinstance(finding, Observed) else (name, finding)

        return worst_of(((shown(case), case) for case in which(rule())), judge, NO_NEURON)

    return over_cases


def on_each_neuron(find: Callable[[Rule, Recurrent], float | Observed]) -> Callable[[Component], Observed]:
    """Return the same for a function of a network, of one layer at the tiny sizes."""
    return on_each_case(lambda rule, case: find(rule, case.network), small_cases)


def on_kinds(find: Callable[[Rule, Case], float | Observed]) -> Callable[[Component], Observed]:
    """Return the same for a function of a case, over fewer neurons, one that spikes and depends on its own state alone
    and one for each other case, for measurements that take seconds; all in `with_every_structure`."""

    def kinds(rule: LearningRule) -> list[Case]:
        small = small_cases(rule)
        if tiny.every_structure():
            return [case._replace(is_first=True) for case in small]
        kinds: dict[object, Case] = {}
        for case in sorted(small, key=lambda case: case.name != "lif"):
            neuron = case.network.layers[0].neuron
            origin = case.name if NEURONS[case.name].origin != "throughtime" else ""
            kinds.setdefault((origin, neuron.spiking, neuron.elementwise), case)
        return [case._replace(is_first=not k) for k, case in enumerate(kinds.values())]

    return on_each_case(find, kinds, attrgetter("name"))


def windows_fit(component: Component) -> Observed:
    """Count lengths T with wrong windows: the longest has `window(T)` ≤ T steps, each at least 1, and the sum is T."""

    def fit(rule: LearningRule, steps: int) -> bool:
        longest = rule.window(steps)
        if not 1 <= longest <= steps:
            return False
        lengths = rule.windows(steps)
        return min(lengths, default=0) > 0 and max(lengths) == longest and sum(lengths) == steps

    bad = [steps for steps in (1, 2, 7, 12, 100) if not fit(tiny.build(component), steps)]
    return Observed(len(bad), f"T = {', '.join(map(str, bad))}" if bad else "T = 1, 2, 7, 12, 100")


def reaches_parameters(rule: Rule, network: Recurrent) -> float:
    """Count parameters with a gradient in BPTT but none in the rule."""
    total = tiny.learn(rule(), network, tiny.sequence()).total()
    exact = tiny.backprop(network, *tiny.sequence(), TASK, "every")
    return sum(float(b.abs().max()) > 0 and not float(g.abs().max()) > 0 for g, b in zip(total, exact, strict=True))


def repeats(rule: Rule, network: Recurrent) -> float:
    twin = copy.deepcopy(network)  # a rule may move weights itself, which another fact detects
    first, again = (tiny.learn(rule(), net, tiny.sequence()) for net in (network, twin))
    return tiny.error([*first.total()], [*again.total()])


def looks_ahead(component: Component) -> Observed:
    """Return the change of losses, outputs, state and gradients before a cut between two windows, when inputs (and
    targets per step) change after it."""
    steps = max(3 * tiny.STEPS, (fixed_window(tiny.build(component)) or 0) + tiny.STEPS)  # two windows or more
    if tiny.build(component).window(steps) == steps:
        raise DoesNotApplyError("it takes the whole sequence at once")

    def before_cut(rule: LearningRule, network: Recurrent, per_step: bool, changed: bool) -> tiny.Gradients:
        task, x = tiny.Listening(per_step), tiny.sequence(steps)[0]
        target = tiny.task_and_target("classes at steps", steps)[1] if per_step else tiny.sequence()[1]
        lengths = rule.windows(steps)
        cut = sum(lengths[: (len(lengths) + 1) // 2])
        if changed:
            x[cut:] *= -3.0
            if per_step:
                target[cut:] = (target[cut:] + 1) % tiny.CLASSES
        with tiny.seeded(11):
            rule.start(network, task, steps)
            recorder = tiny.Recorder(network, 0.0, rule.parameters())
            rule.begin(tiny.BATCH, recorder)
            losses = [rule.learn(part.x, part.target, t) for t, part in tiny.windows(rule, x, target) if t < cut]
        reported = [loss for loss in losses if loss is not None]
        seen = [*task.outputs, *tensors(getattr(rule, "state", None))]
        pending = [torch.zeros(()) if p.grad is None else p.grad for p in recorder.parameters]
        return [*reported, *seen, *(g for gradients in recorder.gradients for g in gradients), *pending]

    def difference(rule: Rule, network: Recurrent, per_step: bool) -> float:
        if rule().supports(network, tiny.Listening(per_step), steps) is not None:
            return 0.0
        unchanged = [part.clone() for part in before_cut(rule(), network, per_step, changed=False)]
        network.zero_grad()
        changed = before_cut(rule(), network, per_step, changed=True)
        network.zero_grad()
        return tiny.error(unchanged, changed) if len(unchanged) == len(changed) else math.inf

    def find(rule: Rule, network: Recurrent) -> float:
        return tiny.largest(difference(rule, network, per_step) for per_step in (False, True))

    return on_each_neuron(find)(component)


def leaves_the_batch(rule: Rule, network: Recurrent) -> float:
    """Return the change of the batch, which belongs to the harness; windows are views of it."""
    x, target = tiny.sequence()
    started = rule()
    with tiny.seeded(11):
        started.start(network, TASK, len(x))
    tiny.train_batch(started, x, target, tiny.Recorder(network, 0.0, started.parameters()))
    return tiny.error([x, target], [*tiny.sequence()])


def reports(make: Rule, case: Case) -> float:
    """Count faults in the losses of windows that the rule reports, and in its state. The harness sums the losses, so
    graphs would stay alive; a loss must be that of the network's outputs in the window, by plain steps. An approximate
    rule may have losses of other outputs beside, such as those of layers; and one that draws while it learns, of the
    network with other weights alone."""
    (x, target), network, rule, task = case.batch, case.network, make(), tiny.Listening()
    is_approximate = rule.claims.gradient == "approximate"
    draws = is_approximate and draws_while_learning(make(), case)
    with tiny.seeded(11):
        rule.start(network, task, len(x))
    with tiny.seeded(11), torch.no_grad():
        expected = stepped(network, x, network.initial_state(tiny.BATCH)).outputs
    losses, faults = [], 0
    with tiny.seeded(11):
        rule.begin(tiny.BATCH, tiny.Recorder(network, 0.0, rule.parameters()))
        for t, part in tiny.windows(rule, x, target):
            task.outputs.clear()
            loss = rule.learn(part.x, part.target, t)
            shown = expected[t : t + part.steps]
            others = sum(not _runs_within(y, shown) for y in task.outputs)
            if not draws:
                faults += others == len(task.outputs) > 0 if is_approximate else others
            faults += sum(s.requires_grad for s in tensors(getattr(rule, "state", None)))
            if loss is not None:
                faults += not task.outputs
                faults += loss.dim() > 0 or loss.requires_grad or not bool(loss.isfinite())
                losses.append(loss)
        rule.end()
    return faults + (not losses)


def _runs_within(y: Tensor, outputs: Tensor) -> bool:
    """Return whether the rows y [n · batch, classes] are outputs [steps, batch, classes] of n consecutive steps."""
    if y.dim() != 2 or len(y) % tiny.BATCH:
        return False
    n, steps = len(y) // tiny.BATCH, y.unflatten(0, (-1, tiny.BATCH))
    return any(tiny.error([steps], [outputs[t : t + n]]) < 1e-9 for t in range(len(outputs) - n + 1))


def one_time_step(component: Component) -> Observed:
    """Return the error against BPTT with one step, where no credit is dropped; approximate rules: of the readout."""
    approximate = tiny.build(component).claims.gradient == "approximate"
    if approximate and draws_while_learning(tiny.build(component), small_cases(tiny.build(component))[0]):
        raise DoesNotApplyError("it draws random numbers while it learns")

    def find(rule: Rule, network: Recurrent) -> float:
        x, target = tiny.sequence(1)
        total = tiny.learn(rule(), network, (x, target), after=tiny.sequence(1, 17)).total()
        exact = tiny.backprop(network, x, target, TASK, "end")
        names = [name for name, p in network.named_parameters() if p.requires_grad]
        held = [k for k, name in enumerate(names) if not approximate or name.startswith("readout")]
        return tiny.error([total[k] for k in held], [exact[k] for k in held])

    named_errors = (
        (name, find(lambda: tiny.build(component), net))
        for name, net in tiny.supporting(tiny.build(component), steps=1)
    )
    value, note = worst(named_errors, NO_NEURON)
    return Observed(value, f"readout only; {note}" if approximate else note)


def weights_move_by_updates(rule: Rule, network: Recurrent) -> float:
    """Return the change of the weights outside of updates, over two batches and the end of an epoch.

    A rule with `sets_weights` may change them at the end of an epoch.
    """
    watching = Watching(network, 0.1)
    learning = rule()
    with tiny.seeded(11):
        learning.start(network, TASK, tiny.STEPS)
    watching.own = learning.parameters()
    for seed in (7, 17):
        tiny.train_batch(learning, *tiny.sequence(tiny.STEPS, seed), watching)
        watching.look()
    learning.end_epoch()
    if not learning.claims.sets_weights:
        watching.look()
    return watching.moved


class Watching(tiny.Recorder):
    """A recorder that measures the change of the weights since its last update."""

    def __init__(self, network: Recurrent, rate: float) -> None:
        super().__init__(network, rate)
        self.watched, self.moved = list(network.parameters()), 0.0
        self.before = [p.detach().clone() for p in self.watched]

    def look(self) -> None:
        self.moved = tiny.largest((self.moved, tiny.error(self.watched, self.before)))
        self.before = [p.detach().clone() for p in self.watched]

    def __call__(self) -> None:
        self.look()
        super().__call__()
        self.before = [p.detach().clone() for p in self.watched]


def leaves_no_gradient(rule: Rule, network: Recurrent) -> float:
    recorder = tiny.learn(rule(), network, tiny.sequence())
    left = sum(p.grad is not None for p in (*network.parameters(), *recorder.own))
    return left if recorder.gradients else float("inf")


def gradients_in(component: Component, dtype: torch.dtype) -> tiny.Gradients:
    network, (x, target) = tiny.recurrent(neuron_of(component)).to(dtype), tiny.sequence()
    return tiny.learn(tiny.build(component), network, (x.to(dtype), target)).total()


OF_GRADIENT = {
    "exact": (Fact("claims exact: gradient = BPTT's", 1e-10, on_each_case(distance_to_bptt)),),
    "truncated": (
        Fact("claims truncated: gradient = weighted sum of its windows'", 1e-10, on_each_case(distance_to_windows)),
    ),
    "approximate": (
        Fact("claims approximate: 1 − cosine to BPTT's", 1.5, on_each_case(misalignment, small_cases)),
        Fact("claims approximate: mean gradient along BPTT's, of comparable size", 0, is_aligned),
        Fact("claims approximate: gradient of the readout = BPTT's", 1e-10, on_each_case(readout_error)),
        *CREDIT,
    ),
}
ROOT = "claims O(√T): exact bytes for each of √T steps, long T over short"
OF_MEMORY = {
    "O(1)": (Fact("claims O(1): exact bytes a step of T", 0, on_kinds(memory_slope)),),
    "O(window)": (Fact("claims O(window): exact bytes a step of T", 0, on_kinds(memory_slope)),),
    "O(√T)": (Fact(ROOT, 1.1, on_kinds(root_growth)),),
    "O(T)": (Fact("claims O(T): exact bytes a step, long T over short", 1.1, on_kinds(memory_growth)),),
}


def _claimed(facts: Mapping[str, tuple[Fact, ...]], claim: str) -> tuple[Fact, ...]:
    if claim not in facts:
        raise ValueError(f'it claims "{claim}"; there is: {", ".join(facts)}')
    return facts[claim]


def facts(component: Component, identities: tuple[Fact, ...] = ()) -> tuple[Fact, ...]:
    """Return the facts of a rule, according to its claims and its coordinates, and the identities of its family."""
    rule = tiny.build(component)
    claims, own = rule.claims, (*coordinates.facts(rule.coordinates()), *identities)
    if claims.same_as:
        own = (
            *own,
            Fact("same_as: = updates of the named rule, two epochs of seven batches", 1e-10, differs_from_family),
        )
    if claims.gradient == "approximate":
        own = (*own, Fact("an identity checks it", 0, partial(is_known, identities=own)))
    return (
        Fact("windows lie between 1 step and all", 0, windows_fit),
        Fact("every parameter gets a gradient", 0, on_each_neuron(reaches_parameters)),
        Fact("same seed, same gradients", 0, on_each_neuron(repeats)),
        Fact("does not depend on later windows", 0, looks_ahead),
        Fact("does not change the batch", 0, on_each_neuron(leaves_the_batch)),
        Fact("reports losses of its network's outputs, without a graph", 0, on_each_case(reports, small_cases)),
        Fact("reported losses average to the minimised loss", 1e-10, on_each_case(misreported, small_cases)),
        *_claimed(OF_GRADIENT, claims.gradient),
        Fact("one step = BPTT", 1e-10, one_time_step),
        Fact("each batch = that of a new rule, two epochs of seven batches", 1e-10, strays),
        Fact("weights move by updates alone", 0, on_each_neuron(weights_move_by_updates)),
        Fact("the last update leaves no gradient", 0, on_each_neuron(leaves_no_gradient)),
        Fact("stopped and resumed: the same weights", 0, on_kinds(lambda rule, case: continued(rule, case.network))),
        *_claimed(OF_MEMORY, claims.memory),
        Fact("no bytes remain after a sequence", 0, on_kinds(lets_go)),
        in_both(gradients_in),
        Fact("updates as often as its schedule says", 0, misses_its_schedule),
        Fact("bytes and products grow as its cost says", 0.15, is_off_its_formulas),
        *own,
    )
