"""Parameters in one block of memory: detection by `Flat`, gradients in one block, the same training either way."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.passes.test_checkpoint import RUNS
from throughtime.datasets.base import Batch
from throughtime.harness.batches import learn_batch, started
from throughtime.harness.build import build
from throughtime.harness.clock import Clock
from throughtime.harness.one_batch import one_batch
from throughtime.harness.updater import Updater, clip
from throughtime.networks.presets import smnist_srnn
from throughtime.neurons.presets import ltc_smnist
from throughtime.numerics import flat as module
from throughtime.numerics.flat import Flat, flatten
from throughtime.spec import Training


def net() -> nn.Sequential:
    """3 · 4 + 3 + 2 · 3 + 2 = 23 numbers."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def flat_net() -> nn.Sequential:
    made = net()
    flatten([*made.parameters()])
    return made


def apart(network: nn.Module) -> bool:
    """Return whether each parameter has memory of its own."""
    return len({p.untyped_storage()._cdata for p in network.parameters()}) == len([*network.parameters()])


def test_flatten_changes_the_place_of_parameters_alone():
    before, after = net(), net()
    parameters = [*after.parameters()]
    flatten(parameters)
    assert apart(before) and len({p.untyped_storage()._cdata for p in parameters}) == 1
    assert all(p is q for p, q in zip(parameters, after.parameters(), strict=True))
    assert all(p.is_leaf and p.requires_grad and p.grad is None for p in parameters)
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name])
    assert parameters[0].untyped_storage().nbytes() == 23 * 4, "no holes"


def test_flat_is_one_tensor_of_what_lies_together_and_each_parameter_else():
    (weights,) = Flat([*flat_net().parameters()]).weights
    assert weights.shape == (23,) and not weights.requires_grad
    parameters = [*net().parameters()]
    assert all(w is p for w, p in zip(Flat(parameters).weights, parameters, strict=True))
    mixed = [nn.Parameter(torch.zeros(5)), *flat_net().parameters(), nn.Parameter(torch.zeros(2))]
    assert [w.numel() for w in Flat(mixed).weights] == [5, 23, 2]
    left_out = [*flat_net().parameters()]
    del left_out[1]
    assert [w.numel() for w in Flat(left_out).weights] == [12, 8], "12 numbers, 3 that are not asked for, 6 and 2"


def test_what_is_done_to_the_flat_tensor_is_done_to_the_parameters():
    made = flat_net()
    Flat([*made.parameters()]).weights[0].copy_(torch.arange(23.0))
    assert sorted(x for p in made.parameters() for x in p.flatten().tolist()) == list(range(23))
    assert made[0].weight.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_large_matrices_begin_with_a_line_of_memory():
    network = smnist_srnn(1, 10, ltc_smnist, hidden=[32], steps=2)
    flatten([*network.parameters()])
    large = [p for p in network.parameters() if p.nbytes % 64 == 0]
    assert len(large) > 9 and all(p.data_ptr() % 64 == 0 for p in large)


def test_what_shares_memory_or_fills_a_part_of_one_stays():
    made, block = net(), torch.zeros(10)
    made[0].bias.data = made[1].weight.data.view(-1)[:3]  # tied to a part of another
    first, two = nn.Parameter(block[:4]), nn.Parameter(block[6:])
    places = [p.data_ptr() for p in (made[0].bias, made[1].weight, first, two)]
    flatten([*made.parameters(), first, two])
    assert places == [p.data_ptr() for p in (made[0].bias, made[1].weight, first, two)]
    assert [w.numel() for w in Flat([*made.parameters(), first, two]).weights] == [14, 3, 6, 4, 4]


def test_neighbours_of_different_dtypes_are_not_joined():
    memory = torch.zeros(32, dtype=torch.uint8)
    parameters = [nn.Parameter(memory[:16].view(torch.float32)), nn.Parameter(memory[16:].view(torch.float64))]
    assert [(w.numel(), w.dtype) for w in Flat(parameters).weights] == [(4, torch.float32), (2, torch.float64)]


def test_neighbours_by_chance_are_not_joined():
    """Two storages in one piece of memory that is neither's."""
    memory = bytearray(32)
    parameters = [nn.Parameter(torch.frombuffer(memory, dtype=torch.float32, count=4, offset=n)) for n in (0, 16)]
    assert parameters[1].data_ptr() - parameters[0].data_ptr() == 16
    assert [w.numel() for w in Flat(parameters).weights] == [4, 4]


def test_gradients_are_laid_out_where_they_lie_apart_and_left_where_they_do_not():
    made = flat_net()
    parameters, flat = [*made.parameters()], Flat([*made.parameters()])
    made(torch.ones(1, 4)).sum().backward()
    expected = [p.grad.clone() for p in parameters]
    (gradient,) = flat.gradients()
    assert gradient.shape == (23,)
    assert all(torch.equal(p.grad, g) for p, g in zip(parameters, expected, strict=True))
    assert flat.gradients()[0].data_ptr() == gradient.data_ptr(), "nothing to lay out"
    assert Flat(parameters).gradients()[0].data_ptr() == gradient.data_ptr(), "nor for another one"
    gradient += 1
    assert all(torch.equal(p.grad, g + 1) for p, g in zip(parameters, expected, strict=True))
    made(torch.ones(1, 4)).sum().backward()
    assert flat.gradients()[0].data_ptr() == gradient.data_ptr(), "autograd adds in place"
    assert all(torch.equal(p.grad, 2 * g + 1) for p, g in zip(parameters, expected, strict=True))


@pytest.mark.parametrize("make", [net, flat_net])
def test_a_gradient_that_is_replaced_counts_and_one_that_is_missing_is_zero(make):
    parameters = [*make().parameters()]
    flat = Flat(parameters)
    flat.gradients()
    parameters[2].grad, parameters[3].grad = torch.full((2, 3), 5.0), None
    assert sum(float(g.sum()) for g in flat.gradients()) == 30
    assert float(parameters[2].grad.sum()) == 30 and parameters[3].grad.tolist() == [0, 0]


def test_values_are_laid_out_as_the_weights_are():
    made = flat_net()
    parameters = [*made.parameters()]
    flat = Flat(parameters)
    (laid_out,) = flat.laid_out([p.detach().clone() for p in parameters])
    assert torch.equal(laid_out, flat.weights[0])


# --- the update


@pytest.mark.parametrize("optimiser", ["adam", "adamax", "sgd"])
@pytest.mark.parametrize("make", [net, flat_net])
def test_an_update_is_that_of_torch_parameter_by_parameter(optimiser, make):
    ours, theirs = make().double(), net().double()
    flatten([*ours.parameters()] if make is flat_net else [])
    update = Updater([*ours.parameters()], Training(optimiser=optimiser, learning_rate=0.1, clip=0.5), Clock())
    torchs = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax, "sgd": torch.optim.SGD}[optimiser]
    reference = torchs(theirs.parameters(), lr=0.1, foreach=False)
    assert len(update.optimiser.param_groups[0]["params"]) == (1 if make is flat_net else 4)
    for seed in range(5):
        x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        for network in (ours, theirs):
            network(x).square().sum().backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5, foreach=False)
        reference.step()
        reference.zero_grad()
        update()
    assert all(p.grad is None for p in ours.parameters())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [net, flat_net])
@pytest.mark.parametrize("optimiser", ["adam", "adamax", "sgd"])
def test_an_update_reads_a_transposed_gradient_by_its_indices(make, optimiser):
    steps = []
    for transposed in (False, True):
        made = make()
        for p in made.parameters():
            gradient = torch.arange(1.0, 1 + p.numel()).reshape(p.shape)
            p.grad = gradient.t().contiguous().t() if transposed else gradient
        Updater([*made.parameters()], Training(optimiser=optimiser, learning_rate=0.1), Clock())()
        steps.append([p.detach().clone() for p in made.parameters()])
    assert made[0].weight.shape == (3, 4) and all(map(torch.equal, *steps))


def test_clip_shortens_what_is_longer_and_nothing_else():
    gradients = [torch.tensor([3.0]), torch.tensor([[4.0]])]
    clip(gradients, 10.0)
    assert [float(g) for g in gradients] == [3, 4]
    clip(gradients, 1.0)
    assert [float(g) for g in gradients] == pytest.approx([0.6, 0.8], abs=1e-6)


@pytest.mark.parametrize("make", [net, flat_net])
def test_a_backward_pass_through_a_graph_of_before_the_update_is_refused(make):
    made = make()
    update = Updater([*made.parameters()], Training(), Clock())
    loss = made(torch.ones(1, 4)).square().sum()
    loss.backward(retain_graph=True)
    update()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- training


def trained(name: str, make_flat: bool, monkeypatch) -> tuple[list[torch.Tensor], int]:
    """All weights, in float64, after two batches of a run, and how many tensors the optimiser stepped."""
    monkeypatch.setattr("throughtime.harness.build.flatten", lambda parameters: None)
    run = RUNS[name]
    built, batch = build(run), one_batch(run, build(run))
    batch = Batch(batch.x.double(), batch.target.double() if batch.target.is_floating_point() else batch.target)
    parameters = [p for p in built.network.double().parameters() if p.requires_grad]
    flatten(parameters if make_flat else [])
    update = started(run, built, built.dataset.steps, Clock())

    def update_by_gradients_of_the_same_layout() -> None:
        assert all(p.grad is None or p.grad.stride() == p.stride() for p in parameters), "fused Adam misreads another"
        update()

    for _ in range(2):
        learn_batch(built.rule, batch, update_by_gradients_of_the_same_layout)
    built.rule.end_epoch()
    stepped = len(update.optimiser.param_groups[0]["params"])
    return [*built.network.parameters(), *built.rule.parameters()], stepped


@pytest.mark.parametrize("name", [name for name in RUNS if "alignment" not in name])
def test_a_flat_network_learns_what_any_other_does(name, monkeypatch):
    """To rounding: a norm is summed in another order, and kernels round the last numbers of a tensor otherwise."""
    flat, stepped = trained(name, True, monkeypatch)
    plain, one_by_one = trained(name, False, monkeypatch)
    learns_itself = name.startswith("eprop adaptive")
    assert stepped == 1 + learns_itself and one_by_one > 4
    for a, b in zip(flat, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_a_part_in_the_wrong_place_is_noticed(monkeypatch):
    """The broken twin: gradients are laid out in another order than the weights."""
    plain, _ = trained("fptt, adding", False, monkeypatch)
    laid_out = module._flatten_dense_tensors
    monkeypatch.setattr(module, "_flatten_dense_tensors", lambda tensors: laid_out(tensors).flip(0))
    flat, _ = trained("fptt, adding", True, monkeypatch)
    assert not all(torch.allclose(a, b) for a, b in zip(flat, plain, strict=True))


def test_a_copy_of_a_flat_network_shares_nothing_with_it():
    made = flat_net()
    twin, kept = copy.deepcopy(made), copy.deepcopy(made.state_dict())
    with torch.no_grad():
        for p in made.parameters():
            p.zero_()
    reference = net().state_dict()
    assert all(torch.equal(twin.state_dict()[name], value) for name, value in reference.items())
    assert all(torch.equal(kept[name], value) for name, value in reference.items())
    made.load_state_dict(kept)
    assert len(Flat([*made.parameters()]).weights) == 1, "and stays flat"
