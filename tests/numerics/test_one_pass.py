"""Compiled passes have the same results as the operations of PyTorch."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from throughtime.algorithms import auxiliary_loss
from throughtime.algorithms.auxiliary_loss import AuxiliaryLoss
from throughtime.algorithms.fptt import dynamic_regulariser
from throughtime.algorithms.fptt.dynamic_regulariser import CodeForm, DynamicRegulariser
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.numerics import adamax
from throughtime.numerics.adamax import Adamax
from throughtime.numerics.loops import without_compiled_loops

F64 = torch.float64


def weights(seed: int = 0) -> torch.Tensor:
    return torch.randn(1003, dtype=F64, generator=torch.Generator().manual_seed(seed))


def stepped(kind: type[torch.optim.Adamax], steps: int = 6, maximize: bool = False) -> tuple[torch.Tensor, dict]:
    W = torch.nn.Parameter(weights())
    optimiser = kind([W], lr=0.03, foreach=False, maximize=maximize)
    for n in range(steps):
        W.grad = weights(n + 1) * (torch.arange(1003) % 7 != n)  # zeros too: u then falls
        optimiser.step()
    return W.detach(), optimiser.state_dict()["state"][0]


@pytest.mark.parametrize("maximize", [False, True])
def test_adamax_is_pytorchs(maximize):
    ours, our_state = stepped(Adamax, maximize=maximize)
    theirs, their_state = stepped(torch.optim.Adamax, maximize=maximize)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-14)
    assert our_state.keys() == their_state.keys()
    for name in our_state:
        torch.testing.assert_close(our_state[name], their_state[name], rtol=1e-14, atol=1e-14)


def test_a_step_of_adamax_invalidates_older_graphs():
    W = torch.nn.Parameter(weights())
    optimiser = Adamax([W])
    for _ in range(2):
        W.grad = weights(1)
        older = W.square().sum()
        optimiser.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        older.backward()


def test_adamax_with_a_wrong_decay_is_found(monkeypatch):
    loop = adamax.adamax_step
    monkeypatch.setattr(adamax, "adamax_step", lambda W, g, m, u, η, β1, β2, ε: loop(W, g, m, u, η, β1, β1, ε))
    with pytest.raises(AssertionError):
        test_adamax_is_pytorchs(maximize=False)


def regularised(steps: int = 4, plain: bool = False) -> list[torch.Tensor]:
    W, g = [weights()], [weights(1)]
    form, result = CodeForm(W, alpha=0.2, beta=0.3, rho=0.1), []
    for n in range(steps):
        g[0].copy_(weights(n + 2))
        if plain:
            with LiveBytes():  # who watches operations sees PyTorch's
                squares = form.add_gradient(g)
                W[0].sub_(g[0], alpha=0.01)
                form.advance([])
        else:
            squares = form.add_gradient(g)
            W[0].sub_(g[0], alpha=0.01)
            form.advance([])
        result += [torch.tensor([float(s) for s in squares], dtype=F64), g[0].clone()]
    return [*result, form.mean[0], form.lam[0]]


def test_the_code_form_in_one_pass_is_its_operations():
    torch.testing.assert_close(regularised(), regularised(plain=True), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("broken", ["add_gradient_of_code_form", "advance_code_form"])
def test_a_pass_with_a_wrong_sign_is_found(monkeypatch, broken):
    loop = getattr(dynamic_regulariser, broken)
    monkeypatch.setattr(dynamic_regulariser, broken, lambda *a: loop(*a[:-1], -a[-1]))
    with pytest.raises(AssertionError):
        test_the_code_form_in_one_pass_is_its_operations()


def test_several_tensors_add_up():
    W = [weights(), weights(1)[:10]]
    gradients = [weights(2), weights(3)[:10]]
    form = CodeForm(W, alpha=0.1, beta=0.5, rho=0.0)
    form.lam = [weights(4), weights(5)[:10]]
    expected = DynamicRegulariser.add_gradient(form, [g.clone() for g in gradients])
    assert form.add_gradient(gradients) == pytest.approx([float(e) for e in expected])


def with_auxiliary(epoch: int) -> list[torch.Tensor]:
    """Loss, gradient and table over three batches, two of them of the same part."""
    loss, result = AuxiliaryLoss(5, parts=3, uniform_epochs=1, like=weights()), []
    for n, part in enumerate((1, 2, 1)):
        y = weights(n)[:60].view(12, 5).clone().requires_grad_()
        target = (weights(n + 7)[:12] * 100).long() % 4  # of the last class there is none
        E = loss.beside(0.3, y, target, part, epoch)
        result += [E.detach(), *torch.autograd.grad(2 * E, y)]
        loss.learn(y.detach(), target, part)
        result.append(loss.Q.clone())
    return result


@pytest.mark.parametrize("epoch", [0, 1])
def test_the_auxiliary_loss_in_one_pass_is_its_operations(epoch):
    with without_compiled_loops():
        plain = with_auxiliary(epoch)
    torch.testing.assert_close(with_auxiliary(epoch), plain, rtol=1e-12, atol=1e-14)
    assert plain[-1][:4, 1].any() and not plain[-1][4].any() and not plain[-1][:, 0].any()


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        ("cross_entropies", lambda loop, *a: loop(*a[:4], 1 - a[4], *a[5:])),
        ("cross_entropies", lambda loop, *a: (loop(*a), a[-1].neg_())),
        ("keep_first_wrong", lambda loop, y, target, *a: loop(y.flip(0), target.flip(0), *a)),
    ],
    ids=["weight", "sign of the gradient", "last for first"],
)
def test_a_fault_in_the_auxiliary_loss_is_found(monkeypatch, broken, fault):
    monkeypatch.setattr(auxiliary_loss, broken, partial(fault, getattr(auxiliary_loss, broken)))
    with pytest.raises(AssertionError):
        test_the_auxiliary_loss_in_one_pass_is_its_operations(1)


@pytest.mark.parametrize("target", [-1, 5])
def test_a_target_that_is_no_class_is_refused(target):
    loss = AuxiliaryLoss(5, parts=3, uniform_epochs=0, like=weights())
    with pytest.raises(IndexError, match=r"class|out of bounds|out of range"):
        loss.beside(0.3, weights()[:10].view(2, 5), torch.tensor([0, target]), 0, 0)
