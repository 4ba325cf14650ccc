"""Paper spytorch: the network is the tutorial's recursion, and claims on made-up runs hold and fail."""

from __future__ import annotations

import json
import math

import pytest
import torch

import throughtime as tt
from tests.synthetic_records import measure, put, run_spec
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.registry import NETWORKS, NEURONS
from throughtime.reports.papers.published import published_table
from throughtime.reports.spytorch import claims
from throughtime.reports.spytorch.claims import ridge_level
from throughtime.suites.suite import load_suite

STEPS, BATCH, INPUTS = 40, 3, 12


def test_the_network_is_the_recursion_of_the_tutorial_with_a_step_less():
    """Order of a step there: spikes of the potential before the step, readout, current, potential; T outputs from 0."""
    (spec, *_) = load_suite("spytorch").expand("paper")
    neuron = NEURONS["cuba"]
    torch.manual_seed(0)
    network = NETWORKS["spytorch_mlp"].factory(
        INPUTS, 4, lambda size: neuron.factory(size, **neuron.checked(spec.neuron.options)), hidden=[9]
    )
    x = 5 * (torch.rand(STEPS, BATCH, INPUTS) < 0.1).float()
    W, W_out = network.layers[0].inward.weight.detach(), network.readouts[0].linear.weight.detach()
    α, β = math.exp(-1 / 5), math.exp(-1 / 10)
    syn = mem = torch.zeros(BATCH, 9)
    flt = out = torch.zeros(BATCH, 4)
    outs, spikes = [out], 0.0
    for x_t in x:
        z = (mem > 1).float()
        syn, mem = α * syn + x_t @ W.t(), (β * mem + syn) * (1 - z)
        flt, out = α * flt + z @ W_out.t(), β * out + flt
        outs.append(out)
        spikes += float(z.sum())
    assert spikes > 20
    ours = network.unroll(x[:-1], network.initial_state(BATCH)).outputs[-1]
    assert torch.allclose(ours, torch.stack(outs).amax(0), atol=1e-5)


def test_penalties_by_hand():
    from throughtime.algorithms.spike_penalties import checked_penalties, penalty_of

    z = torch.zeros(4, 2, 2)
    z[:3, 0, 0] = z[0, 1, 0] = z[0, :, 1] = 1  # counts 3 and 1, and 1 and 1: means 2 and 1
    penalty = lambda **options: float(penalty_of(checked_penalties([options]), [z]))  # noqa: E731
    assert penalty(strength=2.0) == 2 * 1.5
    assert penalty(strength=1.0, power=2) == 2.5
    assert penalty(strength=1.0, bound=1.25) == 0.375
    assert penalty(strength=1.0, of="population", bound=1.0, power=2) == 0.25


def test_bptt_has_the_gradient_of_the_penalties():
    from throughtime.checks.tiny import backprop, error, gradient, learn, recurrent, sequence
    from throughtime.datasets import Classification
    from throughtime.neurons.lif import LIF

    network, (x, target) = recurrent(lambda size: LIF(size, tau=2.0)), sequence()
    rule = tt.build_rule("bptt", spike_penalties=[{"strength": 0.3, "power": 2}])
    result = learn(rule, network, (x, target)).total()
    n = network.unroll(x, network.initial_state(x.shape[1])).spikes[0].sum(0).mean(0)
    added = gradient(0.3 * n.square().mean(), network)
    expected = [a + b for a, b in zip(backprop(network, x, target, Classification(4), "end"), added, strict=True)]
    assert error(result, expected) < 1e-12
    assert rule.end_epoch()["penalty"].value == pytest.approx(0.3 * float(n.square().mean().detach()))
    assert rule.end_epoch() == {}


@pytest.mark.parametrize("off, lean", [(0.01, "for"), (0.2, "against")])
def test_the_losses_of_tutorial_3_are_compared_with_their_penalty(tmp_path, off, lean):
    store, published = Store(tmp_path / "runs"), published_table("spytorch_losses")["tutorial3"]
    for replicate in range(3):
        spec = run_spec(("tutorial3", "cuba", "fashion"), replicate, suite="spytorch", scale="laptop")
        curve = [{"epoch": n + 1, "train_loss": loss - 0.5 + off, "penalty": 0.5} for n, loss in enumerate(published)]
        folder = put(store, spec, measures={"accuracy": measure(0.83, "fraction")})
        (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))
    answer = claims.losses_of_tutorial_3(Results(store.folder))
    assert (answer.word, answer.lean) == ("unclear", lean), answer
    assert len(published) == 30


@pytest.mark.parametrize("standardised, level", [(False, 97.8), (True, 91.5)])
def test_levels_of_ridge_regression(standardised, level):
    assert ridge_level(standardised) == pytest.approx(level, abs=0.05)


def test_braille_trains_at_scale_tiny(tmp_path):
    ran = tt.run("spytorch_braille", scale="tiny", only="penalised cuba encoded braille #0", results=tmp_path / "runs")
    assert list(ran.frame["status"]) == ["ok"]


@pytest.mark.parametrize("accuracy, word, lean", [(0.95, "supported", None), (0.85, "unclear", "against")])
def test_the_network_is_compared_with_ridge_regression(tmp_path, accuracy, word, lean):
    store = Store(tmp_path / "runs")
    for replicate in range(3):
        spec = run_spec(("tutorial5", "cuba", "braille"), replicate, suite="spytorch_braille", scale="laptop")
        put(store, spec, measures={"accuracy": measure(accuracy + 0.001 * replicate, "fraction")})
    answer = claims.spikes_exceed_the_linear_level(Results(store.folder))
    assert (answer.word, answer.lean) == (word, lean)
