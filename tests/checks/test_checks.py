"""`throughtime check`: its findings, sound components of plugins, and its command line.

The broken twins, one or more for each fact, are in the other `test_checks_*.py`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from throughtime.algorithms.base import Claims, LearningRule
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.checks import assert_sound, cases, tiny
from throughtime.checks.contract import alignment, memory
from throughtime.checks.contract.networks import over_nets
from throughtime.checks.contract.rules import on_each_neuron
from throughtime.checks.fact import CheckResult, DoesNotApplyError, Fact, Observed, evaluate, worst
from throughtime.checks.own import identities
from throughtime.checks.run import FACTS, check, components
from throughtime.commands.main import main
from throughtime.datasets.arrays import ArrayDataset, Arrays
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Regression
from throughtime.display import Display
from throughtime.errors import UsageError
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Neuron
from throughtime.neurons.lif import LIF, LIFState
from throughtime.neurons.rnn import RNN
from throughtime.numerics.loops import without_compiled_loops
from throughtime.registry import ALGORITHMS, NETWORKS, NEURONS, REGISTRIES, Component, load_plugin

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = [CHECKOUT / "docs" / "examples" / f"{name}.py" for name in ("summed_tbptt", "alpha_synapse", "recall")]
BROKEN = CHECKOUT / "tests" / "plugins" / "broken_rules.py"

pytestmark = pytest.mark.usefixtures("isolated_registries")

# --- helpers of the other files: twins and their facts


class Twin(NamedTuple):
    """A component with one fault, and the fact that must find it."""

    fact: str
    broken: Callable[..., Any]
    sound: Callable[..., Any]
    name: str = "twin"
    """The name of a rule brings the identities of that rule."""
    raises: bool = False
    """Whether the fact finds an exception and no number."""
    patches: tuple[tuple[str, Any], ...] = ()
    """Further objects to replace by broken ones, by their paths."""


def fact_of(kind: str, factory: Callable[..., Any], fact: str, name: str = "twin") -> CheckResult:
    """Test one fact on the component that a factory builds."""
    component = Component(kind, name, factory, "tests", Display(name))
    (chosen,) = [candidate for candidate in FACTS[kind](component) if candidate.name == fact]
    return evaluate(chosen, component)


sound_finding = cache(fact_of)


def assert_found_out(kind: str, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that the fact fails for the twin, and holds for the sound component."""
    sound = sound_finding(kind, twin.sound, twin.fact, twin.name)
    assert sound.verdict == "holds", sound
    for path, broken in twin.patches:
        monkeypatch.setattr(path, broken)
    result = fact_of(kind, twin.broken, twin.fact, twin.name)
    assert result.verdict == "fails", result
    assert (result.value is None) == twin.raises, result  # an exception could be a slip of the twin's


def title(twin: Twin) -> str:
    patched = " ".join(path.rpartition(".")[2] for path, _ in twin.patches)
    return f"{twin.name}: {twin.fact}: {getattr(twin.broken, '__name__', '')} {patched}".rstrip()


def names_of_facts(kind: str, *factories: Callable[..., Any], name: str = "twin") -> set[str]:
    return {
        fact.name
        for factory in factories
        for fact in FACTS[kind](Component(kind, name, factory, "tests", Display(name)))
    }


def few_neurons(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Facts that go through several neurons see these alone; for speed."""
    chosen = [NEURONS[name] for name in names]
    monkeypatch.setattr(tiny, "representatives", lambda: chosen)


def few_steps(monkeypatch: pytest.MonkeyPatch, *lengths: int) -> None:
    """Facts on memory see sequences of these lengths alone, those on gradients short ones and few draws; for speed."""
    monkeypatch.setattr(memory, "LENGTHS", lengths)
    monkeypatch.setattr(memory, "BATCHES", 4)
    monkeypatch.setattr(cases, "LONG", 20)
    monkeypatch.setattr(cases, "WIDE", 6)
    monkeypatch.setattr(alignment, "DRAWS", 6)


def few_facts(monkeypatch: pytest.MonkeyPatch, kind: str, *parts: str) -> None:
    """Components of this kind have only the facts whose names contain one of these texts; for speed."""
    whole = FACTS[kind]
    few = lambda component: tuple(fact for fact in whole(component) if any(part in fact.name for part in parts))  # noqa: E731
    monkeypatch.setitem(FACTS, kind, few)


# --- findings


ANY = Component("rules", "any", BPTT, "tests", Display("any"))


def evaluated(find: Callable[[Component], Observed]) -> CheckResult:
    return evaluate(Fact("it is so", 0.5, find), ANY)


def raising(error: Exception) -> Callable[[Component], Observed]:
    def find(_: Component) -> Observed:
        raise error

    return find


@pytest.mark.parametrize("value, verdict", [(0.5, "holds"), (0, "holds"), (0.51, "fails")])
def test_a_fact_holds_up_to_its_bound(value, verdict):
    assert evaluated(lambda _: Observed(value, "why")) == CheckResult(
        "rules", "any", "it is so", value, 0.5, verdict, "why"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_fails_and_is_null_in_json(value):
    result = evaluated(lambda _: Observed(value))
    assert (result.verdict, result.note) == ("fails", f"the value found is {value}")
    assert json.loads(json.dumps(result.row(), allow_nan=False))["value"] is None
    assert result.shown()["found"] == str(value)


def test_an_exception_fails_in_one_line():
    result = evaluated(raising(ValueError("a weight fell off\nand rolled away")))
    assert (result.verdict, result.value, result.note) == ("fails", None, "ValueError: a weight fell off")
    assert result.shown()["found"] == "—"


def test_what_does_not_apply_says_why():
    result = evaluated(raising(DoesNotApplyError("it has none")))
    assert (result.verdict, result.note) == ("does not apply", "it has none")


def test_neurons_to_which_a_fact_does_not_apply_are_left_out(monkeypatch):
    few_neurons(monkeypatch, "lif", "rnn")

    def only(name: str) -> Callable[[Any, Recurrent], float]:
        def find(_: Any, network: Recurrent) -> float:
            if type(network.layers[0].neuron).__name__ != name:
                raise DoesNotApplyError("it has none")
            return 3.0

        return find

    for name, expected in (("LIF", (3.0, "lif")), ("RNN", (3.0, "rnn")), ("LSTM", (None, "it has none"))):
        over_rules = evaluated(on_each_neuron(only(name)))
        find = partial(lambda judge, net: judge(None, net.network), only(name))
        over_networks = evaluated(lambda _, find=find: over_nets(find, NETWORKS["recurrent"]))
        assert (
            (over_rules.value, over_rules.note.partition(",")[0])
            == (over_networks.value, over_networks.note)
            == expected
        )


@pytest.mark.parametrize(
    "values, value, note",
    [
        ([1.0], 1.0, "a"),
        ([1.0, 3.0, 2.0], 3.0, "b, the worst of 3"),
        ([1.0, math.nan, math.inf], math.nan, "b, the worst of 3"),
        ([0.0, 0.0], 0.0, "a, one of 2"),
    ],
)
def test_the_worst_of_several(values, value, note):
    result = worst(zip("abc", values, strict=False), "none")
    assert (repr(result.value), result.note) == (repr(value), note)


def test_the_worst_of_nothing_does_not_apply():
    with pytest.raises(DoesNotApplyError, match="none"):
        worst([], "none")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_error_is_nan_wherever_a_nan_stands(order):
    sound, nan = torch.ones(2), torch.tensor([1.0, math.nan])
    pairs = [(sound, sound), (nan, sound)]
    result, expected = zip(*(pairs[k] for k in order), strict=True)
    assert math.isnan(tiny.error(result, expected)) and math.isnan(tiny.error(expected, result))
    assert math.isnan(tiny.largest([(0.0, math.nan)[k] for k in order]))


def test_an_error_is_relative_and_does_not_broadcast():
    a = torch.tensor([2.0, 4.0])
    assert tiny.error([a, torch.ones(3)], [a + 1, torch.ones(3)]) == 1 / 5
    assert tiny.error([a], [torch.zeros(2)]) == 4
    assert tiny.error([torch.ones(1)], [torch.ones(2)]) == math.inf
    assert tiny.error([], []) == 0


# --- sound components of which a plugin may be made


def register(kind: str, factory: Callable[..., Any], name: str = "mine") -> None:
    REGISTRIES[kind].register(name)(factory)


def verdicts(*names: str) -> Counter[str]:
    """Return the number of facts by verdict; no fact fails."""
    findings = list(check(names))
    failed = [finding for finding in findings if finding.verdict == "fails"]
    assert not failed, failed
    return Counter(finding.verdict for finding in findings)


def told(*names: str) -> dict[str, tuple[str, str]]:
    """Verdict and note of each fact."""
    return {finding.fact: (finding.verdict, finding.note) for finding in check(names)}


class RandomFeedback(EProp):
    """e-prop whose feedback is drawn when it starts: at first its gradient points anywhere."""

    def __init__(self) -> None:
        super().__init__(feedback="random")


@pytest.mark.parametrize("seed", range(6))
def test_random_feedback_is_no_fault(seed, monkeypatch, tensor_operations):
    few_neurons(monkeypatch, "lif", "ltc_smnist")  # one that starts at rest, and one that draws where it starts
    plain = tiny.seeded
    monkeypatch.setattr(tiny, "seeded", lambda given: plain(given + 1000 * seed))
    fact = fact_of("rules", RandomFeedback, "claims approximate: 1 − cosine to BPTT's")
    assert fact.verdict == "holds", fact


class LearntFeedback(LearningRule):
    """The last layer's error comes back through weights that the rule learns itself; each step on its own."""

    claims = Claims(gradient="approximate", memory="O(1)")

    def window(self, steps):
        return 1

    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.B = nn.Parameter(network.readout.linear.weight.detach().clone())

    def parameters(self):
        return (self.B,)

    def learn(self, x, target, t):
        loss = self.window_loss(x, target, "end")
        (loss / self.steps).backward()
        grad = self.network.readout.linear.weight.grad.clone()
        self.B.grad = grad if self.B.grad is None else self.B.grad + grad
        if t + 1 == self.steps:
            self.update()
        return loss.detach()


class ReadoutAlone(BPTT):
    """A reservoir: holds all but the readout fixed. Its backward pass is cheaper than BPTT's formula."""

    cost = None

    def start(self, network, task, steps):
        network.layers.requires_grad_(False)
        super().start(network, task, steps)


@pytest.mark.parametrize("rule", [RandomFeedback, LearntFeedback, ReadoutAlone])
def test_a_sound_rule(rule, monkeypatch, tensor_operations):
    few_neurons(monkeypatch, "lif", *(["ltc_smnist"] if rule is ReadoutAlone else []))  # the others take seconds more
    few_steps(monkeypatch, *((75, 80, 90) if issubclass(rule, EProp) else (12, 15, 20)))  # three blocks
    register("rules", rule)
    assert verdicts("mine")["holds"] >= 11


def test_a_rule_with_required_options_is_not_put_to_the_test(monkeypatch):
    class Demanding(BPTT):
        def __init__(self, *, patience: int, trust: int) -> None:
            super().__init__()

    register("rules", Demanding)
    assert told("mine") == {"can be built with its defaults": ("does not apply", "it needs patience, trust")}


@pytest.mark.parametrize(
    "supports, others",
    [
        (lambda *_: "it does not feel like it", ("does not apply", "it supports no registered neuron")),
        (
            lambda rule, network, *_: network.depth,
            ("fails", "AttributeError: 'Recurrent' object has no attribute 'depth'"),
        ),
    ],
    ids=["nothing", "an error"],
)
def test_a_rule_that_supports_nothing_or_cannot_say_what(supports, others, monkeypatch):
    few_neurons(monkeypatch, "lif")
    register("rules", type("Refuses", (BPTT,), {"supports": supports}))
    result = told("mine")
    assert result.pop("windows lie between 1 step and all")[0] == "holds"
    assert result.pop("does not depend on later windows")[0] == "does not apply"
    assert set(result.values()) == {others}


@pytest.mark.parametrize(
    "claims, note",
    [
        (Claims("online", "O(1)"), 'ValueError: it claims "online"; there is: exact, truncated, approximate'),
        (Claims("exact", "O(n)"), 'ValueError: it claims "O(n)"; there is: O(1), O(window), O(√T), O(T)'),
    ],
)
def test_a_rule_that_claims_what_nobody_knows(claims, note):
    register("rules", type("Strange", (BPTT,), {"claims": claims}))
    assert told("mine") == {"can be built with its defaults": ("fails", note)}


def test_a_rule_that_cannot_be_built():
    class Breaks(BPTT):
        def __init__(self) -> None:
            raise OSError("no such disk")

    register("rules", Breaks)
    assert told("mine") == {"can be built with its defaults": ("fails", "OSError: no such disk")}


class Quiet(LIF):
    """LIF that never reaches its threshold with this input."""

    def __init__(self, size: int) -> None:
        super().__init__(size, threshold=2.0)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad / (1 + ctx.saved_tensors[0].square())


class OwnSurrogate(Neuron):
    """LIF whose spikes are not made by the package's function."""

    def initial_state(self, batch, like):
        return LIFState(*(like.new_zeros(batch, *self.shape) for _ in range(2)))

    def forward(self, current, state):
        v = 0.9 * state.v + 0.1 * current - 0.1 * state.z
        z = _Spike.apply(v - 0.1)
        return z, LIFState(v, z)


class Demanding(LIF):
    """LIF with an option that has no default."""

    def __init__(self, size: int, *, tau: float) -> None:
        super().__init__(size, tau=tau)


RESET = "its reset is as declared"
WITHOUT_R = "without R: diagonal RTRL = BPTT"
NEITHER = ("compiled window = steps, with gradients", "compiled step = step, with gradients")
"""Facts of neurons with equations alone, and of those with a hand-written kernel and single step."""


@pytest.mark.parametrize(
    "neuron, unapplied",
    [
        (Quiet, set()),
        (
            OwnSurrogate,
            {
                "smoothed gradient = finite differences",
                "claimed partials = autograd",
                "neurons",
                RESET,
                WITHOUT_R,
                *NEITHER,
            },
        ),
        (RNN, {"spikes are 0 or 1", RESET}),
    ],
)
def test_a_sound_neuron(neuron, unapplied, monkeypatch):
    register("neurons", neuron)
    result = told("mine")
    # A layer of neurons that says nothing of `elementwise` is taken for one that mixes.
    mixing_facts = {"neurons do not mix, as declared"} if "neurons" in unapplied else set()
    expected = (unapplied - {"neurons"}) | mixing_facts
    assert {fact for fact, (verdict, _) in result.items() if verdict == "does not apply"} == expected
    assert {verdict for verdict, _ in result.values()} == {"holds", *["does not apply"][: len(expected)]}
    few_neurons(monkeypatch, "lif", "mine")  # and no rule or network is blamed for it
    few_facts(monkeypatch, "rules", "every parameter", "claims truncated", "one step", "reported losses")
    few_facts(monkeypatch, "networks", "a window =", "two windows", "a step computed by its layers")
    assert verdicts("fptt", "recurrent")["holds"] >= 7


def test_a_neuron_with_required_options():
    register("neurons", Demanding)
    assert set(told("mine").values()) == {("does not apply", "it needs tau")}
    assert "mine" not in [neuron.name for neuron in tiny.representatives()]


class NoOptions(Recurrent):
    """A network of one size."""

    def __init__(self, inputs, outputs, neuron) -> None:
        super().__init__(inputs, outputs, neuron, hidden=(6,), readout_leak="gated")


def test_a_network_without_the_option_hidden(monkeypatch):
    register("networks", NoOptions)
    few_neurons(monkeypatch, "lif")
    assert verdicts("mine") == {"holds": 13}
    few_neurons(monkeypatch, "lstm")
    with without_compiled_loops():
        assert verdicts("mine") == {"holds": 12, "does not apply": 1}  # there are no compiled steps


class Delay(ArrayDataset):
    """A task of a plugin: the target is the first input, in real numbers."""

    class Task(Regression):
        """Regression whose score is the root of the mean squared error."""

        def score(self, outputs, target):
            return super().score(outputs, target).sqrt()

    inputs, outputs, steps = 2, 2, 4
    task: Any = Task(1.0)

    @classmethod
    def tiny(cls):
        return cls()

    def load(self):
        x = torch.rand(40, self.steps, 2, generator=torch.Generator().manual_seed(1))
        train, validation, test = torch.arange(40).split([20, 10, 10])
        return Arrays(x, x[:, 0], {"train": train, "validation": validation, "test": test}, sha256=None)


class OwnTask(Delay):
    """Each sequence has a row of marks, of which the package knows nothing."""

    class Task:
        """Neither of the two tasks."""

        per_step = False

    task = Task()

    def batches(self, split, batch, generator=None):
        for sample in super().batches(split, batch, generator):
            yield Batch(sample.x, (sample.target > 0.5).repeat(1, 3))


@pytest.mark.parametrize("dataset, holds", [(Delay, 10), (OwnTask, 9)])
def test_a_sound_dataset(dataset, holds):
    register("datasets", dataset)
    assert verdicts("mine") == {"holds": holds, "does not apply": 17 - holds}


# --- the command line and the one line of a test


def rows(capsys, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """Exit code of `check --json`, and its rows, which hold no NaN: that is not JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    code = main(["check", "--json", *map(str, arguments)])
    return code, json.loads(capsys.readouterr().out, parse_constant=refuse)


def test_check_prints_a_table_and_how_many_hold(capsys):
    assert main(["check", "lif", "adding"]) == 0
    first, *lines, last = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert first.split() == ["component", "fact", "found", "bound", "verdict", "note"]
    assert [line.split()[0] for line in lines] == ["lif"] * 15 + ["adding"] * 17
    assert last == "26 holds, 0 fails, 6 does not apply"


def test_check_in_json(capsys):
    code, result = rows(capsys, "lif")
    assert code == 0 and len(result) == 15
    assert result[0] == {
        "kind": "neurons",
        "component": "lif",
        "fact": "state is [batch, size] and finite",
        "value": 0,
        "bound": 0,
        "verdict": "holds",
        "note": "20 steps",
    }


def test_check_of_a_broken_plugin(monkeypatch, capsys):
    few_neurons(monkeypatch, "lif")
    few_facts(monkeypatch, "rules", "windows lie", "claims exact: gradient", "1 − cosine", "one step")
    code, result = rows(capsys, "ascends", "divides-by-zero", "--plugin", BROKEN)
    assert code == 1
    failed = {
        (row["component"], row["fact"]): (row["value"], row["note"]) for row in result if row["verdict"] == "fails"
    }
    value, note = failed["ascends", "claims exact: gradient = BPTT's"]
    assert value == pytest.approx(2) and note.endswith("the worst of 3")
    value, note = failed["divides-by-zero", "claims approximate: 1 − cosine to BPTT's"]
    assert (value, note) == (None, "the value found is nan; lif, 1 layer, 12 steps, batch 5, norm nan of BPTT's")
    assert {name for name, _ in failed} == {"ascends", "divides-by-zero"}
    assert main(["check", "ascends", "--plugin", str(BROKEN)]) == 1
    assert f"{len([name for name, _ in failed if name == 'ascends'])} fails" in capsys.readouterr().out


@pytest.mark.parametrize("name, hint", [("ltcc", 'did you mean "ltc"?'), ("eporp", 'did you mean "eprop"?')])
def test_check_of_a_misspelt_name(name, hint, capsys):
    assert main(["check", "lif", name]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f'error: nothing is registered as "{name}"\n  {hint}\n')


def test_check_of_a_plugin_that_is_not_there(capsys):
    assert main(["check", "--plugin", "nowhere.py"]) == 2
    assert "no such plugin file" in capsys.readouterr().err


def test_assert_sound_has_one_line_for_each_fact_that_fails(monkeypatch):
    few_neurons(monkeypatch, "lif")
    few_facts(monkeypatch, "rules", "windows lie", "claims exact: gradient", "one step")
    with pytest.raises(AssertionError) as caught:
        assert_sound("ascends", plugins=[BROKEN])
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["ascends"] * len(lines)
    assert any(line.startswith("ascends: claims exact: gradient = BPTT's: 2 (bound 1e-10) lif, ") for line in lines)
    assert "ascends: one step = BPTT: 2 (bound 1e-10) lif" in lines


def test_assert_sound_tells_what_was_raised():
    register("neurons", type("Bare", (Neuron,), {"forward": None, "initial_state": lambda self, batch, like: 1 / 0}))
    with pytest.raises(AssertionError, match=r"^mine: state is .*: error \(bound 0\) ZeroDivisionError: division by"):
        assert_sound("mine")


def test_assert_sound_of_a_misspelt_name():
    with pytest.raises(UsageError, match='nothing is registered as "tbppt"'):
        assert_sound("tbppt")


def test_every_kind_that_has_a_name_is_checked():
    register("neurons", LIF, "bptt")
    assert [component.kind for component in components(["bptt"])] == ["rules", "neurons"]
    assert len(components([])) == sum(len(registry.names()) for registry in REGISTRIES.values()) + 1, "the harness"


def test_progress_counts_the_facts_of_a_component():
    told = []
    findings = list(check(["rnn"], only="step", tell=lambda component, *counts: told.append((component.name, *counts))))
    assert findings and told == [("rnn", done, len(findings)) for done in range(len(findings))]


def test_threads_are_as_before_a_check():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        findings = check(["rnn"])
        next(findings)
        assert torch.get_num_threads() == 1
        findings.close()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_truncated_rule_of_the_package_with_options(monkeypatch):
    """The factory of a component need not be a class."""
    few_neurons(monkeypatch, "lif")
    few_facts(monkeypatch, "rules", "windows lie", "claims truncated", "one step")
    register("rules", lambda *, window=3: TruncatedBPTT(window=window, loss_at="every"))
    assert verdicts("mine") == {"holds": 3}


def test_rules_of_others_have_no_identities():
    load_plugin(EXAMPLES[0])
    assert identities.facts(ALGORITHMS["summed_tbptt"]) == ()


@pytest.mark.usefixtures("tensor_operations")
def test_rules_are_tested_on_active_neurons_of_each_feature_or_in_full_of_each_structure(isolated_registries):
    """cuba and izhikevich have alif's structure; adlif, rf and brf are silent under the tiny input."""
    names = {component.name for component in tiny.representatives()}
    assert {"lif", "alif", "asrnn", "ltc", "gru", "elstm"} <= names and len(names) <= 7
    with tiny.with_every_structure(True):
        every = {component.name for component in tiny.representatives()}
    assert names | {"plif", "glif", "lstm", "ssnu"} <= every
    assert not every & {"cuba", "izhikevich", "adlif", "rf", "brf"}
    load_plugin(EXAMPLES[1])
    assert {component.name for component in tiny.representatives()} == names | {"alpha_synapse"}
