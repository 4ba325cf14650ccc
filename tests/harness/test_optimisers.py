"""The table of optimisers: its names are those of a spec, and its numbers those of the optimisers themselves."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch

from throughtime.harness.optimisers import OPTIMISERS, build_optimiser, moved, stored
from throughtime.harness.updater import SCHEDULES
from throughtime.numerics.adam_tensorflow import TensorFlowAdam
from throughtime.spec import OptimiserName, Training


def test_a_spec_knows_the_same_names():
    assert set(get_args(OptimiserName)) == set(OPTIMISERS)


SETTINGS = [*({"optimiser": name} for name in OPTIMISERS), {"optimiser": "sgd", "momentum": 0.9}]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: " ".join(map(str, settings.values())))
def test_numbers_stored_are_weight_gradient_and_moments(settings):
    W, training = torch.nn.Parameter(torch.ones(100)), Training(learning_rate=0.1, **settings)
    optimiser = build_optimiser([W], training)
    W.grad = torch.ones(100)
    optimiser.step()
    state = optimiser.state[W].values()
    moments = sum(value.numel() == 100 for value in state if isinstance(value, torch.Tensor))
    assert stored(training) == 2 + moments
    assert moved(training) == 3 + 2 * moments, "weight and moments are read and written, the gradient is read"
    assert float(W.detach().max()) < 1


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_by_its_equations(nesterov):
    """m ← μ m + g + λ W; W ← W − η m, or − η (g + λ W + μ m) by Nesterov."""
    η, μ, λ = 0.1, 0.9, 0.01
    W = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    settings = {"optimiser": "sgd", "learning_rate": η, "weight_decay": λ, "momentum": μ, "nesterov": nesterov}
    optimiser = build_optimiser([W], Training(**settings))
    w, m = 1.0, 0.0
    for given in (1.0, -0.5, 0.25, 2.0):
        g = given + λ * w
        m = μ * m + g
        w -= η * (g + μ * m if nesterov else m)
        W.grad = torch.full((1,), given, dtype=torch.float64)
        optimiser.step()
        assert float(W.detach()) == pytest.approx(w, rel=1e-14)


def test_adam_of_tensorflow_adds_epsilon_outside_the_bias_correction():
    """The equations on numbers, with gradients as small as ε; PyTorch's form differs there."""
    η, β1, β2, ε = 0.1, 0.9, 0.999, 1e-8
    W, theirs = (torch.nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(2))
    ours, torchs = (
        build_optimiser([W], Training(optimiser="adam_tensorflow", learning_rate=η)),
        torch.optim.Adam([theirs], η),
    )
    w, m, v = 1.0, 0.0, 0.0
    for t, g in enumerate((3e-8, -1e-8, 2e-8, 5e-9), 1):
        m, v = β1 * m + (1 - β1) * g, β2 * v + (1 - β2) * g * g
        w -= η * (1 - β2**t) ** 0.5 / (1 - β1**t) * m / (v**0.5 + ε)
        for p, optimiser in ((W, ours), (theirs, torchs)):
            p.grad = torch.full((1,), g, dtype=torch.float64)
            optimiser.step()
        assert float(W.detach()) == pytest.approx(w, rel=1e-12)
    assert abs(float(theirs.detach()) - w) > 0.01


def test_adam_of_tensorflow_continues_from_its_state():
    W = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimiser = build_optimiser([W], Training(optimiser="adam_tensorflow", learning_rate=0.1))
    continued, other = None, None
    for step in range(6):
        if step == 3:
            other = torch.nn.Parameter(W.detach().clone())
            continued = build_optimiser([other], Training(optimiser="adam_tensorflow", learning_rate=0.1))
            continued.load_state_dict(copy.deepcopy(optimiser.state_dict()))
        for p, stepper in ((W, optimiser), (other, continued)):
            if stepper is not None:
                p.grad = torch.full((1,), 1e-8, dtype=torch.float64)
                stepper.step()
    assert torch.equal(W, other)


def test_adam_of_tensorflow_has_an_epsilon_for_each_group_and_one_number_of_steps():
    A, B = (torch.nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(2))
    optimiser = TensorFlowAdam([{"params": [A], "eps": 1e-3}, {"params": [B]}], lr=0.1)

    def loss():
        optimiser.zero_grad()
        E = 1e-3 * (A + B).sum()
        E.backward()
        return E

    assert float(optimiser.step(loss).detach()) == pytest.approx(2e-3)
    assert [group["eps"] for group in optimiser.param_groups] == [1e-3, 1e-8]
    for p, ε in ((A, 1e-3), (B, 1e-8)):
        assert float(p.detach()) == pytest.approx(1 - 0.1 * 0.001**0.5 / 0.1 * 1e-4 / (0.001**0.5 * 1e-3 + ε))
    together = TensorFlowAdam([A, B], lr=0.1)
    B.grad = None
    together.step()
    B.grad = torch.ones_like(B)
    with pytest.raises(ValueError, match="different numbers of steps"):
        together.step()


@pytest.mark.parametrize(
    "settings", [{"schedule": "multistep", "milestones": [1]}, {"schedule": "step", "step_size": 1}]
)
def test_a_schedule_without_a_factor_divides_the_rate_by_ten(settings):
    W = torch.nn.Parameter(torch.ones(1))
    training = Training(optimiser="sgd", learning_rate=0.5, **settings)
    optimiser = build_optimiser([W], training)
    schedule = SCHEDULES[training.schedule](optimiser, training)
    optimiser.step()
    schedule.step()
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.05)
