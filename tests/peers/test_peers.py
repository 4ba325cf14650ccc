"""Neurons, surrogates and FPTT against other libraries, each where it is installed; nothing here is needed elsewhere.

Equations that map onto each other are compared to rounding in float64; those that do not are described in place, and
pinned where they can be, so that a change on either side fails a test.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.datasets.task import Regression
from throughtime.networks.base import Network, Step, Window
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.alif import ALIF
from throughtime.neurons.lif import LIF
from throughtime.neurons.surrogate import SURROGATES, spike

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own, at import and after

F64 = torch.float64
STEPS, BATCH, SIZE = 100, 4, 6
same = partial(torch.testing.assert_close, rtol=0, atol=1e-12)


@pytest.fixture
def snntorch() -> Any:
    return pytest.importorskip("snntorch")


@pytest.fixture
def norse() -> Any:
    pytest.importorskip("norse")
    return pytest.importorskip("norse.torch.functional")


@pytest.fixture
def jelly() -> Any:
    return pytest.importorskip("spikingjelly.activation_based")


def currents(threshold: float, steps: int = STEPS) -> Tensor:
    """I [steps, BATCH, SIZE], strong enough that each neuron spikes now and then."""
    generator = torch.Generator().manual_seed(1)
    return threshold * (1.3 + 3 * torch.randn(steps, BATCH, SIZE, dtype=F64, generator=generator))


def ours(neuron: nn.Module, I: Tensor) -> tuple[Tensor, list[Any]]:
    """Spikes [steps, BATCH, SIZE] and the states after each step."""
    state, spikes, states = neuron.initial_state(BATCH, I), [], []
    for I_t in I.unbind(0):
        z, state = neuron(I_t, state)
        spikes.append(z)
        states.append(state)
    z = torch.stack(spikes)
    assert 0.02 < z.mean() < 0.5 and (z.sum(0) > 0).all(), "the comparison needs spikes, of each neuron"
    return z, states


def gradient(z: Tensor, *wrt: Tensor) -> tuple[Tensor, ...]:
    """Return the gradient of a randomly weighted sum of all spikes."""
    weighing = torch.randn(z.shape, dtype=F64, generator=torch.Generator().manual_seed(2))
    return torch.autograd.grad((weighing * z).sum(), wrt)


# ---- snntorch ----------------------------------------------------------------------------------------------------


def in_float64(theirs: Any, parameter: float) -> Any:
    """A surrogate of snntorch, whose spikes, and so the gradients that arrive at them, are float32 by its own."""

    class InFloat64(theirs):
        @staticmethod
        def forward(ctx: Any, x: Tensor, parameter: float) -> Tensor:
            return theirs.forward(ctx, x, parameter).double()

    return lambda x: InFloat64.apply(x, parameter)


def test_lif_is_snntorchs_leaky(snntorch):
    """`Leaky` with its defaults, reset by subtraction and with a delay:

        U_t = β U_{t−1} + I′_t − R_t θ,      R_t = H(U_{t−1} − θ),      S_t = H(U_t − θ)

    R_t is our z_{t−1}: with β = α, I′ = (1 − α) I and the same θ it is our LIF. With `reset_delay=False` θ is taken off
    U_t before it decays, so α θ in all: that is another neuron.

    snntorch has no neuron whose threshold or current adapts, so nothing of it is compared with our ALIF.
    """
    lif = LIF(SIZE, tau=8.0, threshold=0.3).double()
    θ = torch.full((SIZE,), lif.threshold, dtype=F64)  # [size]: their spikes are float32, and a 0-dim θ would become so
    leaky = snntorch.Leaky(beta=lif.alpha, threshold=θ)
    I = currents(lif.threshold)
    z, states = ours(lif, I)
    U = torch.zeros(BATCH, SIZE, dtype=F64)
    for t in range(STEPS):
        S, U = leaky((1 - lif.alpha) * I[t], U)
        assert torch.equal(S.double(), z[t])
        same(U, states[t].v)


@pytest.mark.parametrize(("name", "theirs", "k"), [("fast_sigmoid", "FastSigmoid", 25), ("arctan", "ATan", 2.0)])
def test_backpropagation_through_lif_is_that_through_snntorchs_leaky(snntorch, name, theirs, k):
    """Our h takes (v − θ)/θ, theirs U − 1 at their threshold 1: with U = v/θ, I′ = (1 − α) I/θ the gradients agree."""
    lif = LIF(SIZE, tau=8.0, threshold=0.3, surrogate=name).double()
    ones = torch.ones(SIZE, dtype=F64)
    surrogate = in_float64(getattr(pytest.importorskip("snntorch.surrogate"), theirs), k)
    leaky = snntorch.Leaky(beta=lif.alpha, threshold=ones, spike_grad=surrogate)
    I = currents(lif.threshold).requires_grad_()
    z, _ = ours(lif, I)
    U, spikes = torch.zeros(BATCH, SIZE, dtype=F64), []
    for I_t in I.unbind(0):
        S, U = leaky((1 - lif.alpha) * I_t / lif.threshold, U)
        spikes.append(S)
    assert torch.equal(torch.stack(spikes), z)
    same(*gradient(z, I), *gradient(torch.stack(spikes), I))


def test_recurrent_lif_is_snntorchs_rleaky_in_spikes_membranes_and_gradients(snntorch):
    """`RLeaky`: U_t = β U_{t−1} + I′_t + V S_{t−1} + c_V − R_t θ, a `Leaky` whose own spikes return through V.

    In units of θ, as above: I′ = (1 − α)(W x + c)/θ, V = (1 − α) R/θ, c_V = (1 − α) c_R/θ. The gradients by W, c, R and
    c_R follow from theirs by I′, V and c_V. Only the reset is held constant, here as there.
    """
    inputs, θ, surrogate = 3, 0.3, pytest.importorskip("snntorch.surrogate")
    torch.manual_seed(3)
    layer_of = partial(LIF, tau=8.0, threshold=θ, surrogate="fast_sigmoid")
    net = Recurrent(inputs, 1, layer_of, hidden=[SIZE], recurrent_bias=True).double()
    layer = net.layers[0]
    g = (1 - layer.neuron.alpha) / θ
    rleaky = snntorch.RLeaky(
        beta=layer.neuron.alpha,
        threshold=torch.ones(SIZE, dtype=F64),
        linear_features=SIZE,
        spike_grad=in_float64(surrogate.FastSigmoid, 25),
    ).double()
    with torch.no_grad():
        layer.recurrent.weight.mul_(2)  # a recurrence that is felt
        rleaky.recurrent.weight.copy_(g * layer.recurrent.weight)
        rleaky.recurrent.bias.copy_(g * layer.recurrent.bias)
    x = torch.randn(STEPS, BATCH, inputs, dtype=F64, generator=torch.Generator().manual_seed(4))
    window = net.unroll(x, net.initial_state(BATCH))
    z = window.spikes[0]
    assert 0.02 < z.mean() < 0.5

    drive = layer.inward(x).detach().requires_grad_()
    S = U = torch.zeros(BATCH, SIZE, dtype=F64)
    spikes = []
    for drive_t in drive.unbind(0):
        S, U = rleaky(g * drive_t, S, U)
        spikes.append(S)
    assert torch.equal(torch.stack(spikes), z)
    same(θ * U, window.state.layers[0].v)

    W, c, R, c_R = gradient(z, *layer.inward.parameters(), *layer.recurrent.parameters())
    d_drive, V, c_V = gradient(torch.stack(spikes), drive, *rleaky.recurrent.parameters())
    assert R.abs().max() > 1e-3
    for result, expected in zip(
        (W, c, R, c_R),
        (torch.einsum("tbj,tbi->ji", d_drive, x), d_drive.sum((0, 1)), g * V, g * c_V),
        strict=True,
    ):
        torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12)


# ---- norse -------------------------------------------------------------------------------------------------------


def box(lif: LIF, v_th: float, **options: Any) -> Any:
    """A step of norse's LIF without synaptic current, I and v to z and v: dv = dt τ⁻¹ (I + v_leak − v), dt τ⁻¹ = 1 − α,
    with v_leak = 0 makes α v + (1 − α) I."""
    module = pytest.importorskip("norse.torch.functional.lif_box")
    p = module.LIFBoxParameters(
        tau_mem_inv=1 - lif.alpha, v_leak=torch.zeros((), dtype=F64), v_th=torch.tensor(v_th, dtype=F64), **options
    )

    def step(I: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        z, state = module.lif_box_feed_forward_step(I, module.LIFBoxFeedForwardState(v), p, dt=1.0)
        return z, state.v

    return step


def test_lif_below_threshold_is_norses_lif_box(norse):
    """A threshold that is never reached, and norse as it comes: the leak and the scaling of the current."""
    lif = LIF(SIZE, tau=8.0, threshold=1e6).double()
    step, v = box(lif, 1e6), torch.zeros(BATCH, SIZE, dtype=F64)
    state = lif.initial_state(BATCH, v)
    for I_t in currents(0.3):
        z_theirs, v = step(I_t, v)
        z, state = lif(I_t, state)
        assert not z.any() and not z_theirs.any()
        same(v, state.v)


def test_lif_is_norses_lif_box_where_its_reset_is_told_to_take_off_enough(norse):
    """norse resets in the step of the spike, v ← reset(v), and what it took off decays with v; we take θ off undecayed
    in the next step. So v = v_norse + z θ/α if its reset takes off θ/α. Its own resets do not: `reset_subtract` takes
    off v_th, which is the threshold too (see below), `reset_value` puts v at v_reset. But the function is a parameter.

    Surrogate: norse's triangle of height 0.3 takes v − v_th; in units of θ, v_th = 1, it is ours. We hold z constant in
    the reset, as we do in our own.
    """
    lif = LIF(SIZE, tau=8.0, threshold=0.3).double()
    α, θ = lif.alpha, lif.threshold
    step = box(lif, 1.0, method="triangle", alpha=0.3, reset_method=lambda z, v, reset, th: v - z.detach() * th / α)
    I = currents(θ).requires_grad_()
    z, states = ours(lif, I)
    v, spikes = torch.zeros(BATCH, SIZE, dtype=F64), []
    for t, I_t in enumerate(I.unbind(0)):
        z_theirs, v = step(I_t / θ, v)
        spikes.append(z_theirs)
        assert torch.equal(z_theirs, z[t])
        same(θ * (v + z_theirs / α), states[t].v)
    same(*gradient(z, I), *gradient(torch.stack(spikes), I))


def test_norses_own_subtraction_takes_off_alpha_times_the_threshold(norse):
    """The known difference: equal up to each neuron's first spike; one step later norse is higher by (1 − α) θ."""
    lif = LIF(SIZE, tau=8.0, threshold=0.3).double()
    α, θ = lif.alpha, lif.threshold
    reset = pytest.importorskip("norse.torch.functional.reset").reset_subtract
    step = box(lif, θ, reset_method=reset)
    I = currents(θ)
    z, states = ours(lif, I)
    v = torch.zeros(BATCH, SIZE, dtype=F64)
    earlier = (z.cumsum(0) - z).bool()  # has spiked before step t
    for t in range(STEPS):
        z_theirs, v = step(I[t], v)
        before_reset, not_yet = v + z_theirs * θ, ~earlier[t]
        same(before_reset[not_yet], states[t].v[not_yet])
        assert torch.equal(z_theirs[not_yet], z[t][not_yet])
        just = earlier[t] & ~earlier[t - 1] if t else earlier[t]
        same(before_reset[just], states[t].v[just] + (1 - α) * θ)
    assert earlier.any(0).all()


def test_alif_is_norses_adaptive_lif_with_the_threshold_read_as_a_current(norse):
    """norse's `ada_lif_step`: an adaptation current b, a fixed threshold, reset by subtraction of v_th − v_reset.

        v_t = α v⁺_{t−1} + (1 − α)(i_{t−1} − b⁺_{t−1})      z_t = H(v_t − v_th)      v⁺_t = v_t − z_t (v_th − v_reset)
        b_t = ρ b⁺_{t−1}                                                              b⁺_t = b_t + β′ z_t

    with dt τ_mem⁻¹ = 1 − α and dt τ_adapt⁻¹ = 1 − ρ; a ⁺ marks what is in its State. With dt τ_syn⁻¹ = 1 the synaptic
    current i is the input, one step late: it is given one step early.

    Ours: v − A = u − θ with u = v − β a, and from our equations

        u_t = α u_{t−1} + (1 − α) I_t − β (ρ − α) a_{t−1} − (θ + β (1 − ρ)) z_{t−1}

    so a moving threshold is an adaptation current and a larger reset. b_t = ρ β′/(1 − ρ) a_t, as both recursions show;
    hence u is their v where

        (1 − α) ρ β′/(1 − ρ) = β (ρ − α)                    β′ = β (ρ − α)(1 − ρ) / (ρ (1 − α))
        α (v_th − v_reset) + (1 − α) β′ = θ + β (1 − ρ)     v_reset = θ − (θ + β (1 − ρ) − (1 − α) β′)/α,  v_th = θ

    Not compared: the recurrence, which reaches v two steps after the spike in norse and one step in ours; gradients, as
    norse's flows through its reset and ours does not.
    """
    alif = ALIF(SIZE, tau=8.0, tau_adaptation=30.0, threshold=0.3).double()
    α, ρ, θ, β = alif.alpha, alif.rho, alif.threshold, alif.beta
    module = pytest.importorskip("norse.torch.functional.lsnn")
    β_theirs = β * (ρ - α) * (1 - ρ) / (ρ * (1 - α))
    taken_off = (θ + β * (1 - ρ) - (1 - α) * β_theirs) / α
    p = module.LSNNParameters(
        tau_syn_inv=1.0,
        tau_mem_inv=1 - α,
        tau_adapt_inv=1 - ρ,
        v_leak=0.0,
        v_th=θ,
        v_reset=θ - taken_off,
        beta=β_theirs,
    )
    identity, none = torch.eye(SIZE, dtype=F64), torch.zeros(SIZE, SIZE, dtype=F64)
    I = currents(θ)
    z, states = ours(alif, I)
    zero = torch.zeros(BATCH, SIZE, dtype=F64)
    state = module.LSNNState(z=zero, v=zero, i=I[0], b=zero)
    for t in range(STEPS):
        following = I[t + 1] if t + 1 < STEPS else zero
        z_theirs, state = module.ada_lif_step(following, state, identity, none, p, dt=1.0)
        assert torch.equal(z_theirs, z[t])
        a = (state.b - β_theirs * z_theirs) * (1 - ρ) / (ρ * β_theirs)
        same(a, states[t].a)
        same(state.v + z_theirs * taken_off + β * a, states[t].v)
    assert β * a.min() > θ / 4, "thresholds must have risen"


def test_the_threshold_of_alif_is_norses_lsnn(norse):
    """norse's `lsnn_step`: b is the threshold itself, and decays to v_th.

        b_t = ρ b⁺_{t−1} + (1 − ρ) v_th      z_t = H(v_t − b_t)      b⁺_t = b_t + β′ z_t

    Our A_t = θ + β a_t = ρ A_{t−1} + (1 − ρ) θ + β (1 − ρ) z_{t−1} is their b_t where v_th = θ, ρ β′ = β (1 − ρ) and
    b_0 = θ. norse puts v at v_reset after a spike where we subtract: that does not map. So each step is given a v_reset
    that is what our subtraction would leave of norse's own v_t, v_t − θ/α; all else is norse's.

    Not compared: the recurrence, as above; gradients, as norse's does not flow from z into b and ours does.
    """
    alif = ALIF(SIZE, tau=8.0, tau_adaptation=30.0, threshold=0.3).double()
    α, ρ, θ, β = alif.alpha, alif.rho, alif.threshold, alif.beta
    module = pytest.importorskip("norse.torch.functional.lsnn")
    β_theirs = β * (1 - ρ) / ρ
    p = module.LSNNParameters(
        tau_syn_inv=1.0, tau_mem_inv=1 - α, tau_adapt_inv=1 - ρ, v_leak=0.0, v_th=θ, beta=β_theirs
    )
    identity, none = torch.eye(SIZE, dtype=F64), torch.zeros(SIZE, SIZE, dtype=F64)
    I = currents(θ)
    z, states = ours(alif, I)
    zero = torch.zeros(BATCH, SIZE, dtype=F64)
    state = module.LSNNState(z=zero, v=zero, i=I[0], b=zero + θ)
    for t in range(STEPS):
        following = I[t + 1] if t + 1 < STEPS else zero
        v_reset = α * state.v + (1 - α) * state.i - θ / α
        z_theirs, state = module.lsnn_step(following, state, identity, none, p._replace(v_reset=v_reset), dt=1.0)
        assert torch.equal(z_theirs, z[t])
        same(state.b - β_theirs * z_theirs, θ + β * states[t].a)
        same(state.v + z_theirs * θ / α, states[t].v)


# ---- surrogates --------------------------------------------------------------------------------------------------

# Far out, near, and the two sides of a spike; 0 itself by its gradient. ±1 are the triangle's corners.
X = torch.cat((torch.linspace(-3, 3, 601, dtype=F64), torch.tensor([-1e-9, 0.0, 1e-9], dtype=F64)))


def spikes_and_slope(function: Any, x: Tensor = X) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    z = function(x)
    return z.detach().double(), torch.autograd.grad(z.sum(), x)[0]


@pytest.mark.parametrize(("name", "theirs", "k"), [("fast_sigmoid", "fast_sigmoid", 25), ("arctan", "atan", 2.0)])
def test_surrogates_are_snntorchs(snntorch, name, theirs, k):
    z, h = spikes_and_slope(getattr(pytest.importorskip("snntorch.surrogate"), theirs)(k))
    z_ours, h_ours = spikes_and_slope(lambda x: spike(x, name))
    assert torch.equal(z, z_ours)
    same(h, h_ours)


def test_surrogates_are_norses(norse):
    """Triangle of height 0.3. `super` in norse has slope 1 whatever it is given: our slope 25 is its function of 25 x,
    whose derivative by x is 25 times as large."""
    threshold = pytest.importorskip("norse.torch.functional.threshold").threshold
    z, h = spikes_and_slope(lambda x: threshold(x, "triangle", 0.3))
    z_ours, h_ours = spikes_and_slope(lambda x: spike(x, "triangle"))
    assert torch.equal(z, z_ours)
    same(h, h_ours)
    z, h = spikes_and_slope(lambda x: threshold(25 * x, "super", 100.0))
    z_ours, h_ours = spikes_and_slope(lambda x: spike(x, "fast_sigmoid"))
    assert torch.equal(z, z_ours)
    same(h / 25, h_ours)


@pytest.mark.parametrize(
    ("name", "theirs", "alpha", "scale", "offset"),
    [
        ("arctan", "ATan", 2.0, 1.0, 0.0),
        ("triangle", "PiecewiseQuadratic", 1.0, 0.3, 0.0),
        ("fast_sigmoid", "SoftSign", 25.0, 2 / 25, -1 / 25),
    ],
)
def test_surrogates_and_their_smooth_functions_are_spikingjellys(jelly, name, theirs, alpha, scale, offset):
    """Theirs integrate to 1; ours are a scale times that, S may be shifted. At 0 spikingjelly spikes and we do not."""
    surrogate = getattr(pytest.importorskip("spikingjelly.activation_based.surrogate"), theirs)(alpha=alpha)
    z, h = spikes_and_slope(surrogate)
    z_ours, h_ours = spikes_and_slope(lambda x: spike(x, name))
    at_zero = X == 0
    assert torch.equal(z[~at_zero], z_ours[~at_zero])
    assert z[at_zero].all() and not z_ours[at_zero].any()
    same(scale * h, h_ours)
    surrogate.set_spiking_mode(False)
    same(scale * surrogate(X.clone()) + offset, SURROGATES[name].smooth(X))


# ---- FPTT against spikingjelly -----------------------------------------------------------------------------------

ALPHA, RATE, PARTS, SAMPLES = 0.3, 0.2, 7, 5


class Core(nn.Module):
    """h_t = tanh(W x_t + c + r h_{t−1}), y_t = V h_t + d; without r it has no state."""

    def __init__(self, width: int, stateful: bool) -> None:
        super().__init__()
        self.W, self.V = nn.Linear(width, width).double(), nn.Linear(width, width).double()
        self.r = nn.Parameter(torch.full((width,), 0.8, dtype=F64)) if stateful else None

    def forward(self, x: Tensor, h: Tensor | float) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.W(x) + (0 if self.r is None else self.r * h))
        return self.V(h), h


class CoreState(NamedTuple):
    h: Tensor


class Ours(Network):
    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core

    def initial_state(self, batch: int) -> CoreState:
        return CoreState(torch.zeros(batch, self.core.W.out_features, dtype=F64))

    def forward(self, x: Tensor, state: CoreState) -> tuple[Step, CoreState]:
        y, h = self.core(x, state.h)
        return Step(y, ()), CoreState(h)

    def unroll(self, x: Tensor, state: CoreState) -> Window:
        outputs = []
        for x_t in x:
            step, state = self(x_t, state)
            outputs.append(step.output)
        return Window(torch.stack(outputs), (), state)


def core(width: int, stateful: bool) -> Core:
    torch.manual_seed(5)
    return Core(width, stateful)


def sequences(width: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(6)
    shape = (SAMPLES, width)
    return [
        (
            torch.randn(PARTS, *shape, dtype=F64, generator=generator),
            torch.randn(shape, dtype=F64, generator=generator),
        )
        for _ in range(2)
    ]


Trail = list[tuple[list[Tensor], list[Tensor]]]
"""After each update: the weights, and the running mean that pulled on that update."""


def our_fptt(width: int, stateful: bool) -> Trail:
    net, trail = Ours(core(width, stateful)), []
    rule = FPTT(form="paper", alpha=ALPHA)
    W = list(net.parameters())

    @torch.no_grad()
    def update() -> None:
        for w in W:
            w.sub_(w.grad, alpha=RATE)
            w.grad = None
        trail.append(([w.detach().clone() for w in W], [m.clone() for m in rule.regulariser.mean]))

    rule.start(net, Regression(chance=1.0), PARTS)
    for x, target in sequences(width):
        rule.begin(SAMPLES, update)
        for t in range(PARTS):
            rule.learn(x[t : t + 1], target, t)
        rule.end()
    return trail


def spikingjellys_fptt(width: int, stateful: bool) -> Trail:
    """The function as it is; its loss is given the weight of the part along with the target."""
    learning = pytest.importorskip("spikingjelly.activation_based.learning.online_learning")
    base = pytest.importorskip("spikingjelly.activation_based.base")
    functional = pytest.importorskip("spikingjelly.activation_based.functional")

    class Theirs(base.MemoryModule):
        def __init__(self) -> None:
            super().__init__()
            self.core = core(width, stateful)
            self.register_memory("h", 0.0)

        def forward(self, x: Tensor) -> Tensor:
            y, self.h = self.core(x, self.h)
            return y

    net, trail = Theirs(), []
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE)
    mean = learning.fptt_online_training_init_w_ra(optimiser)
    W = list(net.parameters())
    optimiser.register_step_post_hook(
        lambda *_: trail.append(([w.detach().clone() for w in W], [m.clone() for m in mean]))
    )
    for x, target in sequences(width):
        weighed = [(target, (p + 1) / PARTS) for p in range(PARTS)]
        learning.fptt_online_training(
            net, optimiser, x, weighed, lambda y, to: to[1] * F.mse_loss(y, to[0]), alpha=ALPHA, w_ra=mean
        )
        functional.reset_net(net)
    return trail


class Reading(NamedTuple):
    """The points at which the two read the paper differently."""

    square: str
    """‖W − W̄ − ∇l/2α‖²: `sum` over the entries of a tensor, or their `mean`."""
    second_pass_from: str
    """∇l_p at the new weights: from the state `before` the part, or `after` the first pass."""
    between_sequences: str
    """The last step's mean and ∇l: `kept` for the next sequence, or `left out`: no move of the mean, ∇l = 0."""


OURS = Reading("sum", "before", "kept")
SPIKINGJELLYS = Reading("mean", "after", "left out")


def fptt_as_read(reading: Reading, width: int, stateful: bool) -> Trail:
    """FPTT's printed equations, with either reading."""
    net, trail = core(width, stateful), []
    W = list(net.parameters())
    mean, last = [w.detach().clone() for w in W], [torch.zeros_like(w) for w in W]

    def loss_gradient(x: Tensor, h: Tensor, target: Tensor, p: int) -> tuple[tuple[Tensor, ...], Tensor]:
        y, h = net(x, h)
        return torch.autograd.grad((p + 1) / PARTS * (y - target).square().mean(), W), h.detach()

    for x, target in sequences(width):
        h = torch.zeros(SAMPLES, width, dtype=F64)
        for p in range(PARTS):
            gradient, after = loss_gradient(x[p], h, target, p)
            with torch.no_grad():
                for w, m, g, dl in zip(W, mean, last, gradient, strict=True):
                    n = w.numel() if reading.square == "mean" else 1
                    w -= RATE * (dl + ALPHA / n * (w - m - g / (2 * ALPHA)))
            trail.append(([w.detach().clone() for w in W], [m.clone() for m in mean]))
            if p == PARTS - 1 and reading.between_sequences == "left out":
                last = [torch.zeros_like(w) for w in W]
            else:
                last = loss_gradient(x[p], h if reading.second_pass_from == "before" else after, target, p)[0]
                mean = [(m + w.detach()) / 2 - g / (2 * ALPHA) for m, w, g in zip(mean, W, last, strict=True)]
            h = after
    return trail


def difference(a: Trail, b: Trail) -> float:
    assert len(a) == len(b)
    pairs = zip(a, b, strict=True)
    return max(float((p - q).abs().max()) for u, v in pairs for i in (0, 1) for p, q in zip(u[i], v[i], strict=True))


def test_fptt_of_the_paper_is_spikingjellys_where_they_read_it_alike(jelly):
    """One entry a tensor (a mean is a sum), no state (nothing to start the second pass from), one sequence."""
    a, b = (fptt(1, stateful=False)[:PARTS] for fptt in (our_fptt, spikingjellys_fptt))
    assert difference(a, b) < 1e-12
    assert difference(a[:1], a[-1:]) > 0.1, "weights and mean must have moved"


def test_fptt_of_the_paper_differs_from_spikingjellys_in_three_readings_and_nothing_else(jelly):
    """A net with state, tensors of several entries, two sequences; and each reading alone makes a difference.

    Paper: the regulariser is a squared norm, ∇l_t belongs to step t, and the end of a sequence is not specified.
    """
    a, b = (fptt(3, stateful=True) for fptt in (our_fptt, spikingjellys_fptt))
    assert difference(a, fptt_as_read(OURS, 3, stateful=True)) < 1e-12
    assert difference(b, fptt_as_read(SPIKINGJELLYS, 3, stateful=True)) < 1e-12
    for field in Reading._fields:
        halfway = OURS._replace(**{field: getattr(SPIKINGJELLYS, field)})
        assert difference(a, fptt_as_read(halfway, 3, stateful=True)) > 1e-4, field


@pytest.mark.parametrize("stateful", [False, True])
def test_fptt_of_the_paper_is_its_printed_equations(stateful):
    """The part of the above that needs no library."""
    assert difference(our_fptt(3, stateful), fptt_as_read(OURS, 3, stateful)) < 1e-12
