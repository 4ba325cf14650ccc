"""`check --full`: components right at tiny sizes, in training mode and with their defaults, and wrong beyond."""

from __future__ import annotations

import pytest
import torch

from tests.checks.test_checks import few_neurons
from throughtime.algorithms.bptt import BPTT
from throughtime.checks.fact import evaluate
from throughtime.checks.full import choices, facts
from throughtime.checks.run import FACTS
from throughtime.commands.main import main
from throughtime.datasets.digits import Digits
from throughtime.display import Display
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import Component


@pytest.fixture(autouse=True)
def neurons(monkeypatch):
    few_neurons(monkeypatch, "lif")


def failed(kind, factory, *parts):
    """Names of the facts that fail, of those of every check and of those that --full adds; with `parts`, of those alone
    whose names contain one of these texts."""
    component = Component(kind, "twin", factory, "tests", Display("twin"))
    chosen = lambda fact: not parts or any(part in fact.name for part in parts)  # noqa: E731
    return [
        {fact.name for fact in some if chosen(fact) and evaluate(fact, component).verdict == "fails"}
        for some in (FACTS[kind](component), facts(component))
    ]


class ForgetsAfter32Steps(BPTT):
    """Credit reaches back 32 steps at most, which its memory would show if it stated a cost."""

    cost = None

    def learn(self, x, target, t):
        if len(x) > 32 and self.network.layers[0].neuron.size > 50:
            with torch.no_grad():
                self.state = self.network.unroll(x[:-32], self.state).state
            x = x[-32:]
        return super().learn(x, target, t)


def test_a_rule_that_is_wrong_at_length():
    assert failed("rules", ForgetsAfter32Steps, "gradient") == [
        set(),
        {"96 units, 40 steps, batch 70: claims exact: gradient = BPTT's"},
    ]


class PeeksWithTheLossAtEveryStep(BPTT):
    def learn(self, x, target, t):
        if self.loss_at == "every":
            x.mul_(1.5)
        return super().learn(x, target, t)


def test_a_rule_that_is_wrong_with_an_option_that_is_not_its_default():
    defaults, full = failed("rules", PeeksWithTheLossAtEveryStep, "does not change", "gradient")
    assert defaults == set() and "loss_at every: does not change the batch" in full


class FastInEvaluation(Recurrent):
    """Its window is another network than its steps where it is evaluated."""

    def unroll(self, x, state):
        window = super().unroll(x, state)
        return window if self.training else window._replace(outputs=window.outputs * 1.001)


def test_a_network_that_is_wrong_in_evaluation():
    component = Component("networks", "twin", FastInEvaluation, "tests", Display("twin"))
    result = {fact.name: evaluate(fact, component).verdict for fact in facts(component)}
    assert result.pop("evaluation after training: a window = its steps") == "fails"
    assert set(result.values()) <= {"holds", "does not apply"}


class Leaks(Digits):
    """Some test sequences are training sequences, but not in the tiny variant."""

    def load(self):
        loaded = super().load()
        shared = torch.cat((loaded.splits["test"], loaded.splits["train"][:3]))
        return loaded._replace(splits={**loaded.splits, "test": shared})

    @classmethod
    def tiny(cls):
        small, whole = cls(steps=8), Digits(steps=8).arrays
        small.arrays = whole._replace(splits={s: i[:20] for s, i in whole.splits.items()})
        return small


def test_real_data_that_are_in_two_splits():
    defaults, full = failed("datasets", Leaks)
    assert defaults == set() and full == {"real data: no sequence is in two splits"}


def test_choices_of_an_option():
    assert choices(bool) == (False, True) and choices(bool | None) == (False, True)
    assert choices(int) == choices(list[int]) == ()


def test_the_option_of_the_command(capsys):
    assert main(["check", "digits"]) == 0
    short = capsys.readouterr().out
    assert main(["check", "digits", "--full"]) == 0
    full = capsys.readouterr().out
    assert "real data: no sequence is in two splits" in full and "real data" not in short
    assert len(full.splitlines()) == len(short.splitlines()) + 4
