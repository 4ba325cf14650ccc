"""Rules that carry influence forward, with one fault each: the fact that must find it does."""

from __future__ import annotations

import pytest
import torch

from tests.checks.test_checks import Twin, assert_found_out, few_neurons, title
from throughtime.algorithms.influence.kf_rtrl import KFRTRL
from throughtime.algorithms.influence.ostl import OSTL
from throughtime.algorithms.influence.snap1 import SnAp1
from throughtime.algorithms.influence.snap_n import SnApN
from throughtime.algorithms.influence.uoro import UORO
from throughtime.checks.tiny import error, learn, recurrent, sequence
from throughtime.neurons.lif import LIF


@pytest.fixture(autouse=True)
def neurons(monkeypatch):
    few_neurons(monkeypatch, "lif")


class DropsTheAutapse(SnAp1):
    def layer_partials(self, layer, current, state, next_state):
        return self.partials(layer.neuron, current, state, next_state)


class TurnsTheAutapse(SnAp1):
    def layer_partials(self, layer, current, state, next_state):
        partials = super().layer_partials(layer, current, state, next_state)
        own = self.partials(layer.neuron, current, state, next_state).from_previous
        turned = {pair: 2 * own.get(pair, 0.0) - factor for pair, factor in partials.from_previous.items()}
        return partials._replace(from_previous=turned | {("v", "v"): own["v", "v"] * 0.99})


class ReachesOneStepLess(SnApN):
    def __init__(self, *, n=2, **options):
        super().__init__(n=max(1, n - 1), **options)


class StaysInTheNeuron(OSTL):
    def reach(self, layer):
        return torch.eye(layer.neuron.size, dtype=torch.bool) if self.with_H else None


class SignalsOfTheStepBefore(OSTL):
    """The lower layers get the learning signal of another step."""

    def gather(self, *arguments, **options):
        δI = super().gather(*arguments, **options)
        return None if δI is None else δI.roll(1, 0)


TWINS = [
    Twin("diag(R) = 0: = diagonal_rtrl; R as drawn: not", DropsTheAutapse, SnAp1),
    Twin("diag(R) = 0: = diagonal_rtrl; R as drawn: not", TurnsTheAutapse, SnAp1),
    Twin("dense R: = BPTT; a ring: not", ReachesOneStepLess, SnApN),
    Twin("one layer: = BPTT; two layers: not", StaysInTheNeuron, OSTL),
    Twin("two layers: = autograd inside each layer", SignalsOfTheStepBefore, OSTL),
]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("rules", twin, monkeypatch)


@pytest.mark.parametrize("rule", [UORO, KFRTRL])
def test_the_gradient_is_the_mean_of_the_draws(rule):
    """The same signs, once as two draws of one run and once as two runs."""
    (x, target), network = sequence(), recurrent(LIF)
    generator = torch.Generator().manual_seed(1)
    drawn: list[torch.Tensor] = []

    def both(*shape):
        drawn.append(torch.randint(2, shape, generator=generator) * 2 - 1)
        return drawn[-1]

    def total(draws, signs):
        made = rule(draws=draws)
        made.signs = signs
        return learn(made, network, (x, target)).total()

    mean = total(2, both)
    gradients = []
    for r in range(2):
        left = iter(drawn)
        gradients.append(total(1, lambda *shape, r=r, left=left: draw_of(next(left), r, shape)))
    assert error(gradients[0], gradients[1]) > 0.1
    assert error(mean, [(a + b) / 2 for a, b in zip(*gradients, strict=True)]) < 1e-12


def draw_of(signs: torch.Tensor, r: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the signs of one draw of two, in the shape of a single one."""
    dimension = next(
        d
        for d, (both_draws, single_draw) in enumerate(zip(signs.shape, shape, strict=True))
        if both_draws != single_draw
    )
    return signs.narrow(dimension, r, 1)
