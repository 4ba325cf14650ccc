"""Deviations of published code (docs/papers/deviations.md): small demonstrations, and names on the page that exist."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import throughtime as tt
from tests.datasets.test_detection import NEVER, grids, like_anchor, target
from throughtime.checks.run import FACTS, components
from throughtime.datasets.adding import Adding
from throughtime.datasets.detection.average_precision import average_precision, verdicts
from throughtime.datasets.detection.loss import detection_loss
from throughtime.harness.clock import Clock
from throughtime.harness.updater import Updater
from throughtime.neurons.asrnn import ASRNN
from throughtime.spec import Training
from throughtime.suites.suite import load_suite

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/papers/deviations.md").read_text("utf-8")


def test_the_tests_and_cells_that_the_page_names_exist():
    for file, function in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE):
        functions = {
            node.name for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))) if hasattr(node, "name")
        }
        assert not function or function in functions, f"{file}::{function}"
    for suite, rule in re.findall(r"suite `([\w-]+)`, rule `([\w-]+)`", PAGE):
        assert rule in {cell.rule.label for cell in load_suite(suite).cells["laptop"]}
    facts = set(re.findall(r"facts? `([^`]+)`", PAGE)) | set(re.findall(r"`([^`]+)` and `([^`]+)`", PAGE)[0])
    checked = {fact.name for component in components(("fptt", "uoro")) for fact in FACTS[component.kind](component)}
    assert len(facts) == 5 and facts <= checked
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| where | paper")]
    shown = [row.split("|")[-2].strip() for row in rows]
    assert len(rows) > 40 and all(len(text) > 5 for text in shown)


def test_a_fifth_of_the_second_markers_is_in_the_last_tenth():
    x, _ = Adding(steps=200).draw(20_000, torch.Generator().manual_seed(0))
    assert float(x[180:, :, 1].sum() / 20_000) == pytest.approx(0.2, abs=0.01)


def test_clipping_turns_an_infinite_gradient_into_nan():
    """The factor 1/‖g‖ is 0, and 0 · ∞ is NaN; a large finite gradient is clipped."""
    for gradient, becomes_nan in ((1e30, False), (math.inf, True)):
        net = nn.Linear(1, 2, bias=False)
        nn.init.ones_(net.weight)
        update = Updater([*net.parameters()], Training(optimiser="sgd", learning_rate=0.5, clip=1.0), Clock())
        net.weight.grad = torch.tensor([[gradient], [1.0]])
        update()
        assert bool(net.weight.isnan().any()) == becomes_nan


def smnist() -> nn.Module:
    torch.manual_seed(0)
    return tt.build_network("smnist_srnn", inputs=1, outputs=3, neuron="ltc_smnist", hidden=[8], steps=6)


@pytest.mark.usefixtures("tensor_operations")
@torch.no_grad()
def test_the_random_first_membrane_changes_the_output():
    network, x, outputs = smnist(), torch.rand(6, 32, 1), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(network.eval().unroll(x, network.initial_state(32)).outputs)
    assert torch.equal(outputs[0], outputs[1]) and not torch.allclose(outputs[0], outputs[2], atol=1e-3)


@torch.no_grad()
def test_only_the_sign_of_an_input_weight_matters_for_a_scalar_input():
    (layer,), x = smnist().layers, torch.rand(32, 1)
    layer.inward.weight.mul_(100)  # so that the ε of the normalisation is small beside the variance
    currents = [layer.inward_norm(factor * layer.inward(x), 0) for factor in (1.0, 10.0, -1.0)]
    torch.testing.assert_close(currents[1], currents[0], atol=1e-4, rtol=0)
    assert not torch.allclose(currents[2], currents[0], atol=0.05)


def test_the_neuron_of_the_eprop_file_has_no_memory_and_cannot_train_its_time_constants():
    τ = {"tau_mean": 20.0, "tau_sd": 0.0, "tau_adaptation_mean": 200.0, "tau_adaptation_sd": 0.0}
    neuron = ASRNN(1, decay="logistic", **τ)
    for time_constant, rest in ((neuron.tau, 2.1e-9), (neuron.tau_adaptation, 0)):
        decay = neuron.decay_of(time_constant.detach().double())
        assert float(1 - decay) == pytest.approx(rest, abs=1e-10)
        assert float(neuron.decay_of(time_constant.detach())) == 1.0, "in float32"
        value = time_constant.detach().double().requires_grad_()
        (gradient,) = torch.autograd.grad(neuron.decay_of(value), value)
        assert abs(float(gradient)) < 2.1e-9


def test_the_time_constants_of_the_dvs_asrnn_are_a_few_steps():
    """exp(−1/τ') = σ(τ): τ' in steps for τ = −1 and 1."""
    shortest, longest = (-1 / math.log(1 / (1 + math.exp(-τ))) for τ in (-1, 1))
    assert (round(shortest, 1), round(longest, 1)) == (0.8, 3.2)


@pytest.mark.parametrize(("ahead", "is_gradient"), [(0, True), (1, False)])
def test_a_trace_one_step_ahead_is_not_the_gradient(ahead, is_gradient):
    """v_t = α v_{t−1} + w x_{t−1}: dv_T/dw is the trace ε_t = α ε_{t−1} + x_{t−1}, not one with x_t."""
    α, x = 0.9, torch.rand(12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = torch.ones((), dtype=torch.float64, requires_grad=True)
    v, ε = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for t in range(1, 11):
        v = α * v + w * x[t - 1]
        ε = α * ε + x[t - 1 + ahead]
    (gradient,) = torch.autograd.grad(v, w)
    assert torch.isclose(ε, gradient, rtol=1e-12) == is_gradient


@pytest.mark.parametrize("β", [0.5, 0.3])
def test_a_weight_without_a_gradient_moves_by_rounding_unless_beta_is_a_half(β):
    """W̄ = (1 − β) W̄ + β W is W in exact arithmetic; Adam makes a step of the rest in float32, whatever its size."""
    W = nn.Parameter(torch.rand(1000, generator=torch.Generator().manual_seed(0)))
    before, adam = W.detach().clone(), torch.optim.Adam([W], lr=1e-3)
    W.grad = 0.5 * (before - ((1 - β) * before + β * before))
    adam.step()
    moved = (W.detach() - before).abs().max()
    assert moved == 0 if β == 0.5 else moved > 1e-4


def test_a_state_detached_at_each_step_loses_the_window():
    """v_t = a v_{t−1} + 1: v_3 = a² + a + 1 has the derivative 2 a + 1; with each v detached it is v_2 = a + 1."""
    for detached, derivative in ((False, 2 * 0.5 + 1), (True, 0.5 + 1)):
        a, v = torch.tensor(0.5, requires_grad=True), torch.zeros(())
        for _ in range(3):
            v = a * (v.detach() if detached else v) + 1
        (gradient,) = torch.autograd.grad(v, a)
        assert float(gradient) == derivative


def test_the_cosine_of_the_step_size_rises_again():
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=30)
    rates = []
    for _ in range(61):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[30] == pytest.approx(0, abs=1e-12) and rates[60] == pytest.approx(1.0)


def test_a_parameter_that_nothing_initialises_makes_the_regulariser_nan():
    """Memory that is not written can hold NaN; its squared distance to the mean and the gradient are NaN."""
    unused = torch.full((2,), math.nan, requires_grad=True)
    R = 0.25 * (unused - unused.detach()).square().sum()
    (gradient,) = torch.autograd.grad(R, unused)
    assert bool(R.isnan()) and bool(gradient.isnan().all())


def test_adaptation_without_the_factor_is_larger_by_it():
    """b = ρ b + z comes to rest at 1/(1 − ρ) under steady spikes, b = ρ b + (1 − ρ) z at 1."""
    ρ = 1 / (1 + math.exp(-1))
    for factor, rest in ((1.0, 1 / (1 - ρ)), (1 - ρ, 1.0)):
        b = 0.0
        for _ in range(200):
            b = ρ * b + factor
        assert b == pytest.approx(rest)


def test_the_fraction_of_an_update_is_not_a_decay():
    """σ(2) = 0.88: a membrane with this decay has a time constant of 8 steps, with this fraction of half a step."""
    σ = 1 / (1 + math.exp(-2))
    assert (round(σ, 2), round(-1 / math.log(σ), 1), round(-1 / math.log(1 - σ), 1)) == (0.88, 7.9, 0.5)


def test_a_surrogate_without_the_factor_of_its_threshold_is_smaller_by_it():
    """z = H(u) with u = (v − v_th)/v_th: dz/dv = ψ(u)/v_th, and ψ(u) alone is 0.6 of it at v_th = 0.6."""
    v_th, γ = 0.6, 0.3
    v = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    (du,) = torch.autograd.grad((v - v_th) / v_th, v)
    ψ = γ * max(0.0, 1 - abs((0.7 - v_th) / v_th))
    assert ψ / float(ψ * du) == pytest.approx(v_th)


@pytest.mark.parametrize(("jitter", "least", "most"), [(0.1, 0.0, 0.5), (0.2, 1.0, 3.0)])
def test_boxes_of_whole_pixels_are_worth_up_to_some_points_of_map(jitter, least, most):
    """1000 boxes of 20 to 200 pixels, far from one another, with a detection whose edges are moved by a share of the
    sides. With 1 added to widths, as in the devkit, more of them overlap by half, the most where many are near it."""
    draws, n = np.random.default_rng(0), 1000
    shape, place = draws.integers(20, 200, (n, 2)), 1000 * np.arange(n)[:, None] * [1, 0]
    boxes = np.hstack((place, place + shape)).astype(float)
    moved, scores = (
        np.round(boxes + jitter * np.hstack((shape, shape)) * draws.standard_normal((n, 4))),
        draws.random(n),
    )

    def precision(added: float) -> float:
        widened = np.array([0, 0, added, added])
        detected, true = (torch.tensor(corners + widened) for corners in (moved, boxes))
        return 100 * average_precision(scores, verdicts(detected, true, np.zeros(n, bool)), n, "all points")

    assert least <= precision(1) - precision(0) <= most


def test_a_loss_divided_by_grid_is_twice_as_large_where_both_grids_have_as_many_positives():
    """One box in each grid: S_1/1 + S_2/1 in place of (S_1 + S_2)/2. A sum alone is the loss of its box where the other
    grid reports nothing."""
    outputs, coarse, fine = grids(1, 1), like_anchor(5), like_anchor(1, x=0.25, y=0.25)

    def sum_of(box: tuple[float, ...], silent: str) -> float:
        channels = outputs[silent].unflatten(1, (3, 6)).clone()
        channels[:, :, 4] = NEVER
        return float(detection_loss({**outputs, silent: channels.flatten(1, 2)}, target([box]), 1))

    by_grid = sum_of(coarse, "fine") + sum_of(fine, "coarse")
    assert by_grid == pytest.approx(2 * float(detection_loss(outputs, target([coarse, fine]), 1)), rel=1e-5)
