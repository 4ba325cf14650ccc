"""e-prop against a second implementation: the equations of Bellec et al. 2020 in plain loops.

Their recursion, from their equations 6-10 and 22-28 and in their scaling (v gains I, a gains z):

    v_j^t = α v_j^{t−1} + I_j^t − z_j^{t−1} θ           a_j^t = ρ a_j^{t−1} + z_j^{t−1}
    z_j^t = H((v_j^t − A_j^t)/θ),                       A_j^t = θ + β a_j^t
    ψ_j^t = (0.3/θ) max(0, 1 − |(v_j^t − A_j^t)/θ|)
    ε_v,ji^t = α ε_v,ji^{t−1} + p_i^t                   p: x_i^t, z_i^{t−1}, or 1 for the bias
    ε_a,ji^t = ψ_j^{t−1} ε_v,ji^{t−1} + (ρ − ψ_j^{t−1} β) ε_a,ji^{t−1}
    e_ji^t = ψ_j^t (ε_v,ji^t − β ε_a,ji^t)

In this project's scaling v gains g I, g = 1 − α, and a gains r z, r = 1 − ρ. Differentiating v and a by W_ji as there
(the reset held constant, other neurons' spikes too) each source term takes its gain:

    ε_v,ji^t = α ε_v,ji^{t−1} + g p_i^t
    ε_a,ji^t = r e_ji^{t−1} + ρ ε_a,ji^{t−1} = r ψ_j^{t−1} ε_v,ji^{t−1} + (ρ − r ψ_j^{t−1} β) ε_a,ji^{t−1}

and e as before. With v = g v′, a = r a′ both are one network where θ′ = θ/g and β′ = β r/g (the conversion printed in
their code): v′, a′ obey their equations, (v − A)/θ and so z are the same; ψ′ = g ψ, ε_v = g ε_v′, ε_a = r ε_a′, hence e
is the same. The loops below run in both scalings.
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch

from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.checks.tiny import Recorder, seeded, train_batch
from throughtime.datasets.task import Classification, Regression
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import NEURONS

INPUTS, SIZE, OUTPUTS, BATCH, STEPS = 3, 8, 4, 3, 10
TAU, TAU_A, TAU_OUT = 20.0, 500.0, 20.0
THRESHOLD, BETA = 0.62, 0.07  # of Bellec et al.'s own check against autograd, in their scaling
RATE_COST, RATE_TARGET = 3.0, 0.05


def network(neuron: str, *, readout_tau: float = TAU_OUT, readout: str = "spikes", **options) -> Recurrent:
    """Weights drawn as in their check, N(0, 1)/√fan-in, here with biases; input and recurrence so that neurons spike.

    θ = θ′ g, β = β′ g/r with the g of τ = 20.
    """
    g, r = 1 - math.exp(-1 / TAU), 1 - math.exp(-1 / TAU_A)
    options = {"tau": TAU, "threshold": THRESHOLD * g, **options}
    if neuron == "alif":
        options = {"tau_adaptation": TAU_A, "beta": BETA * g / r, **options}
    layer = partial(NEURONS[neuron].factory, **options)
    net = Recurrent(INPUTS, OUTPUTS, layer, hidden=[SIZE], readout=readout, readout_tau=readout_tau).double()
    rng = np.random.default_rng(5)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.tensor(rng.standard_normal(p.shape) / math.sqrt(p.shape[-1])))
    return net


def data(task: str) -> tuple[np.ndarray, np.ndarray]:
    """Input spikes at 0.4 a step (their 100 Hz is too few to reach everything in 10 steps), targets."""
    rng = np.random.default_rng(6)
    x = (rng.random((STEPS, BATCH, INPUTS)) < 0.4).astype(float)
    return x, rng.integers(OUTPUTS, size=BATCH) if task == "classification" else rng.standard_normal((BATCH, OUTPUTS))


def eprop_in_loops(
    net: Recurrent,
    x: np.ndarray,
    target: np.ndarray,
    *,
    task: str,
    loss_at: str,
    B: np.ndarray,
    readout_tau: float = TAU_OUT,
    reads: str = "z",
    rate_cost: float = 0.0,
    update_every: int = STEPS,
    scaling: str = "ours",
) -> tuple[list[dict[str, np.ndarray]], float, dict[str, float]]:
    """Return the gradients of each update by parameter name, the loss, and statistics of the loops (see `happened`)."""
    weights = {name: p.detach().numpy() for name, p in net.named_parameters()}
    W, c, R = (weights[f"layers.0.{name}"] for name in ("inward.weight", "inward.bias", "recurrent.weight"))
    W_out, b = weights["readout.linear.weight"], weights["readout.linear.bias"]
    neuron = net.layers[0].neuron
    α = [float(a) for a in neuron.alpha.expand(SIZE)]
    θ, β = [neuron.threshold] * SIZE, [getattr(neuron, "beta", 0.0)] * SIZE
    ρ = math.exp(-1 / TAU_A)
    κ = math.exp(-1 / readout_tau) if readout_tau else 0.0
    g, r = [1 - α[j] for j in range(SIZE)], 1 - ρ
    if scaling == "theirs":
        θ, β = [θ[j] / g[j] for j in range(SIZE)], [β[j] * r / g[j] for j in range(SIZE)]
        g, r = [1.0] * SIZE, 1.0

    synapses = INPUTS + SIZE + 1  # x, z before, 1
    grads = {name: np.zeros(p.shape) for name, p in weights.items()}
    updates: list[dict[str, np.ndarray]] = []
    v, a, z, ψ = (np.zeros((BATCH, SIZE)) for _ in range(4))
    ε_v, ε_a, ē = (np.zeros((BATCH, SIZE, synapses)) for _ in range(3))
    y, o_filtered, one_filtered = np.zeros((BATCH, OUTPUTS)), np.zeros((BATCH, SIZE)), 0.0
    spikes, e_sum = np.zeros(SIZE), np.zeros((SIZE, synapses))
    total, seen = 0.0, {"spikes": 0.0, "adaptation": 0.0, "recurrent": 0.0}

    def add(j: int, i: int, change: float) -> None:
        if i < INPUTS:
            grads["layers.0.inward.weight"][j, i] += change
        elif i < INPUTS + SIZE:
            grads["layers.0.recurrent.weight"][j, i - INPUTS] += change
        else:
            grads["layers.0.inward.bias"][j] += change

    for t in range(STEPS):
        z_before, ψ_before = z.copy(), ψ.copy()
        one_filtered = κ * one_filtered + (1 - κ)
        for n in range(BATCH):
            p = [*x[t, n], *z_before[n], 1.0]
            for j in range(SIZE):
                current = c[j]
                for i in range(INPUTS):
                    current += W[j, i] * x[t, n, i]
                for i in range(SIZE):
                    current += R[j, i] * z_before[n, i]
                v[n, j] = α[j] * v[n, j] + g[j] * current - z_before[n, j] * θ[j]
                a[n, j] = ρ * a[n, j] + r * z_before[n, j]
                A = θ[j] + β[j] * a[n, j]
                z[n, j] = 1.0 if v[n, j] > A else 0.0
                ψ[n, j] = 0.3 / θ[j] * max(0.0, 1 - abs((v[n, j] - A) / θ[j]))
                for i in range(synapses):
                    ε_a[n, j, i] = r * ψ_before[n, j] * ε_v[n, j, i] + (ρ - r * ψ_before[n, j] * β[j]) * ε_a[n, j, i]
                    ε_v[n, j, i] = α[j] * ε_v[n, j, i] + g[j] * p[i]
                    e_z = ψ[n, j] * (ε_v[n, j, i] - β[j] * ε_a[n, j, i])
                    e = e_z if reads == "z" else ε_v[n, j, i]
                    ē[n, j, i] = κ * ē[n, j, i] + (1 - κ) * e
                    e_sum[j, i] += e_z / BATCH
                    seen["adaptation"] = max(seen["adaptation"], abs(β[j] * ε_a[n, j, i] / (ε_v[n, j, i] or math.inf)))
                o = z[n, j] if reads == "z" else v[n, j]
                o_filtered[n, j] = κ * o_filtered[n, j] + (1 - κ) * o
                spikes[j] += z[n, j] / BATCH
                seen["spikes"] += z[n, j] / (STEPS * BATCH * SIZE)
            for k in range(OUTPUTS):
                drive = b[k]
                for j in range(SIZE):
                    drive += W_out[k, j] * (z[n, j] if reads == "z" else v[n, j])
                y[n, k] = κ * y[n, k] + (1 - κ) * drive

        last = t == STEPS - 1
        if last or loss_at == "every":
            loss = 0.0
            for n in range(BATCH):
                δ = np.zeros(OUTPUTS)
                partition = sum(math.exp(y[n, k]) for k in range(OUTPUTS))
                for k in range(OUTPUTS):
                    if task == "classification":
                        π, wanted = math.exp(y[n, k]) / partition, 1.0 if k == target[n] else 0.0
                        loss -= wanted * math.log(π) / BATCH
                        δ[k] = (π - wanted) / BATCH
                    else:
                        loss += (y[n, k] - target[n, k]) ** 2 / (BATCH * OUTPUTS)
                        δ[k] = 2 * (y[n, k] - target[n, k]) / (BATCH * OUTPUTS)
                    if loss_at == "every":
                        δ[k] /= STEPS
                    grads["readout.linear.bias"][k] += δ[k] * one_filtered
                    for j in range(SIZE):
                        grads["readout.linear.weight"][k, j] += δ[k] * o_filtered[n, j]
                for j in range(SIZE):
                    L = 0.0
                    for k in range(OUTPUTS):
                        L += B[k, j] * δ[k]
                    for i in range(synapses):
                        add(j, i, L * ē[n, j, i])
                        if INPUTS <= i < INPUTS + SIZE:
                            seen["recurrent"] = max(seen["recurrent"], abs(L * ē[n, j, i]))
            total += loss / STEPS if loss_at == "every" else loss
        if last or (t + 1) % update_every == 0:
            for j in range(SIZE):
                for i in range(synapses):
                    excess = spikes[j] / (t + 1) - RATE_TARGET
                    add(j, i, 2 * rate_cost * excess * e_sum[j, i] / STEPS)
            e_sum[:] = 0.0
            updates.append({name: grad.copy() for name, grad in grads.items()})
            for grad in grads.values():
                grad[:] = 0.0
    return updates, total, seen


def errors(
    neuron: str,
    *,
    task: str = "classification",
    loss_at: str = "every",
    feedback: str = "symmetric",
    readout_tau: float = TAU_OUT,
    readout: str = "spikes",
    rate_cost: float = 0.0,
    update_every: int | None = None,
    scaling: str = "ours",
    **options,
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the largest error of each gradient and of the loss, relative to the largest entry over all updates, and
    statistics of the loops."""
    net = network(neuron, readout_tau=readout_tau, readout=readout, **options)
    x, target = data(task)
    rule = EProp(
        loss_at=loss_at, update_every=update_every, feedback=feedback, rate_cost=rate_cost, rate_target=RATE_TARGET
    )
    kind = Classification(OUTPUTS) if task == "classification" else Regression(chance=1.0)
    record = Recorder(net)
    with mock.patch("throughtime.algorithms.eligibility.blocks.BLOCK", 4):  # 10 steps are blocks of 2, 4 and 4
        with seeded(11):
            rule.start(net, kind, STEPS)
        learnt = train_batch(rule, torch.tensor(x), torch.tensor(target), record)
    losses = [loss for loss in learnt if loss is not None]
    result = record.gradients
    B = rule.B.detach().numpy()
    assert np.allclose(B, net.readout.linear.weight.detach()) == (feedback == "symmetric")
    expected, loss, seen = eprop_in_loops(
        net,
        x,
        target,
        task=task,
        loss_at=loss_at,
        B=B,
        readout_tau=readout_tau,
        reads="z" if readout == "spikes" else "v",
        rate_cost=rate_cost,
        update_every=update_every or STEPS,
        scaling=scaling,
    )
    assert len(result) == len(expected)
    names = [name for name, _ in net.named_parameters()]
    largest = {"loss": abs(float(torch.stack(losses).mean()) - loss) / abs(loss)}
    for k, name in enumerate(names):
        largest[name] = max(
            float(np.abs(a[k].numpy() - b[name]).max() / np.abs(b[name]).max())
            for a, b in zip(result, expected, strict=True)
        )
    return largest, seen


def assert_none(errors: dict[str, float]) -> None:
    assert {name: e for name, e in errors.items() if not e < 1e-12} == {}


@pytest.mark.parametrize("neuron", ["lif", "alif"])
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("loss_at", ["end", "every"])
@pytest.mark.parametrize("feedback", ["symmetric", "random"])
@pytest.mark.parametrize("readout_tau", [TAU_OUT, 0.0])
@pytest.mark.parametrize("rate_cost", [0.0, RATE_COST])
def test_every_gradient_is_that_of_the_loops(neuron, task, loss_at, feedback, readout_tau, rate_cost):
    assert_none(
        errors(
            neuron,
            task=task,
            loss_at=loss_at,
            feedback=feedback,
            readout_tau=readout_tau,
            rate_cost=rate_cost,
        )[0]
    )


@pytest.mark.parametrize("neuron", ["lif", "alif"])
@pytest.mark.parametrize("rate_cost", [0.0, RATE_COST])
def test_in_the_scaling_of_bellec_et_al_with_converted_threshold_and_beta_too(neuron, rate_cost):
    assert_none(errors(neuron, rate_cost=rate_cost, scaling="theirs")[0])


@pytest.mark.parametrize("neuron", ["lif", "alif"])
@pytest.mark.parametrize("readout", ["spikes", "membrane"])
def test_neurons_of_different_time_constants_and_both_readouts(neuron, readout):
    assert_none(errors(neuron, tau_max=60.0, readout=readout, rate_cost=RATE_COST)[0])


@pytest.mark.parametrize("neuron", ["lif", "alif"])
def test_updates_in_between_split_the_gradient_and_go_on_with_the_traces(neuron):
    assert_none(errors(neuron, update_every=4, rate_cost=RATE_COST)[0])


def test_the_net_spikes_adapts_and_uses_its_recurrence():
    """The comparison needs spikes, and a β ε_a that is not negligible beside ε_v: else it would hold for any rule."""
    for neuron, options in itertools.product(["lif", "alif"], [{}, {"tau_max": 60.0}]):
        seen = errors(neuron, **options)[1]
        assert 0.1 < seen["spikes"] < 0.6
        assert seen["recurrent"] > 1e-3
        assert (seen["adaptation"] > 1e-2) == (neuron == "alif")
