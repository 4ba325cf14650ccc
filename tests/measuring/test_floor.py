"""The floor: products and bytes counted by hand on tiny networks, and never above the work of a run."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from throughtime.algorithms.base import Claims, LearningRule
from throughtime.algorithms.bptt import BPTT
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification
from throughtime.harness.batches import learn_batch
from throughtime.harness.clock import Clock
from throughtime.harness.updater import Updater
from throughtime.measuring import floor
from throughtime.measuring.timing import timed
from throughtime.measuring.yardstick import Product, Rate, Yardstick
from throughtime.networks.base import Network
from throughtime.networks.ecg_spiking_readout import ecg_spiking_readout
from throughtime.networks.presets import online_rnn
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import ALGORITHMS, NEURONS
from throughtime.spec import Training

ADAM, INPUTS, OUTPUTS = Training(clip=None), 3, 2
BATCH, STEPS, SIZE = 5, 6, 4


def network(neuron="lif", options=None, inputs=INPUTS, outputs=OUTPUTS, **wiring) -> Recurrent:
    make = partial(NEURONS[neuron].factory, **(options or {}))
    return Recurrent(inputs, outputs, make, **{"hidden": [SIZE], **wiring})


def rule(name: str, **options) -> LearningRule:
    return ALGORITHMS[name].factory(**options)


def work(
    rule: LearningRule, on: Network | None = None, training: Training = ADAM, steps: int = STEPS
) -> floor.Operations:
    return floor.operations(rule, on or network(), training, BATCH, steps)


def test_bptt_by_hand():
    # Six steps of five sequences: 30 rows. W: 3 -> 4, R: 4 -> 4, readout: 4 -> 2.
    assert work(BPTT()).products == {
        Product(30, 3, 4): 1,  # W x of all steps
        Product(5, 4, 4): 6 + 5,  # R z, and the gradient by z, which the first step's, given, does not need
        Product(30, 4, 2): 1,  # the readout of all steps
        Product(4, 30, 3): 1,  # ∂/∂W; x needs no gradient
        Product(4, 30, 4): 1,  # ∂/∂R
        Product(2, 5, 4): 1,  # ∂/∂W_out, of the last step: a constant leak only scales it
        Product(5, 2, 4): 1,  # ∂/∂z of the last step
    }
    assert work(BPTT()).flops == 2 * (30 * 12 + 11 * 5 * 16 + 30 * 8 + 4 * 30 * 3 + 4 * 30 * 4 + 2 * 5 * 4 + 5 * 2 * 4)


def test_a_loss_at_every_step_has_a_gradient_of_the_readout_at_every_step():
    assert work(BPTT(loss_at="every")).products - work(BPTT()).products == {Product(2, 30, 4): 1, Product(30, 2, 4): 1}


def test_windows_are_counted_one_by_one():
    # Windows of 4 and of 2 steps: 3 and 1 gradients by z.
    assert work(rule("tbptt", window=4)).products == {
        Product(20, 3, 4): 1,
        Product(10, 3, 4): 1,
        Product(5, 4, 4): 6 + 3 + 1,
        Product(20, 4, 2): 1,
        Product(10, 4, 2): 1,
        Product(4, 20, 3): 1,
        Product(4, 10, 3): 1,
        Product(4, 20, 4): 1,
        Product(4, 10, 4): 1,
        Product(2, 5, 4): 2,
        Product(5, 2, 4): 2,
    }


def test_checkpoints_go_forward_again_through_all_segments_but_the_last():
    """Seven steps are segments of 3, 3 and 1, of which the third has its graph at once."""
    again = work(rule("checkpointed_bptt"), steps=7).products - work(BPTT(), steps=7).products
    assert again == {Product(15, 3, 4): 2, Product(5, 4, 4): 3 + 3, Product(15, 4, 2): 2}


def test_fptt_step_by_step_needs_no_gradient_by_the_state():
    step = {
        Product(5, 3, 4): 6,
        Product(5, 4, 4): 6,
        Product(5, 4, 2): 6,
        Product(4, 5, 3): 6,
        Product(4, 5, 4): 6,
        Product(2, 5, 4): 6,
        Product(5, 2, 4): 6,
    }
    assert work(rule("fptt")).products == step
    assert work(rule("fptt", form="paper")).products == dict.fromkeys(step, 12), "twice forward and backward"


def test_an_untrained_part_goes_forward_only():
    # Parts of 3 steps: the second adds its forward products.
    trained = floor.operations(rule("fptt", parts=1), network(), ADAM, BATCH, 3).products
    both = work(rule("fptt", parts=2, last_part=False)).products
    assert both - trained == {Product(15, 3, 4): 1, Product(5, 4, 4): 3, Product(15, 4, 2): 1}


def test_gates_of_the_neuron_are_maps_too():
    # Windows of one step; W_M and W_A read [I ; v] and [I ; b], 8 -> 4. Of the gradient by what they read, in the
    # first step of a window I's half is needed: the state is given.
    gates = work(rule("fptt"), network("ltc")).products - work(rule("fptt")).products
    assert gates == {Product(5, 8, 4): 12, Product(4, 5, 8): 12, Product(5, 4, 4): 12}
    # One window of two steps: in the second step all of it.
    gates = work(BPTT(), network("ltc"), steps=2).products - work(BPTT(), steps=2).products
    assert gates == {Product(5, 8, 4): 4, Product(4, 10, 8): 2, Product(5, 4, 4): 2, Product(5, 4, 8): 2}


def test_a_gate_of_the_current_or_of_the_state_alone():
    """4 -> 4, in six windows of one step, whose state is given: a gate of the state needs no gradient by its input."""
    without = work(rule("fptt"), network("ltc", {"gate_input": "none", "adaptation": "off"})).products
    for reads, products in (("current", 6 + 6), ("state", 6)):
        gate = work(rule("fptt"), network("ltc", {"gate_input": reads, "adaptation": "off"})).products - without
        assert gate == {Product(5, 4, 4): products, Product(4, 5, 4): 6}


def test_an_unused_gate_costs_nothing():
    unused = network("ltc", {"adaptation": "unused"})
    off = network("ltc", {"adaptation": "off"})
    assert work(BPTT(), unused) == work(BPTT(), off)


def test_the_second_layer_hands_its_gradient_down():
    second = work(BPTT(), network(hidden=[SIZE, 7])).products
    assert second[Product(30, 4, 7)] == 1  # W z of the layer below
    assert second[Product(7, 30, 4)] == 1
    assert second[Product(30, 7, 4)] == 1  # its gradient by z of the layer below


def test_a_gated_readout():
    # W_τ: 4 -> 2 reads [d ; y]; of its first step d alone has a gradient. Behind it each step's d has one of its own.
    readout = work(BPTT(), network(readout_leak="gated")).products
    assert readout[Product(5, 4, 2)] == 6
    assert readout[Product(2, 30, 4)] == 1 + 1  # ∂/∂W_τ, and ∂/∂W_out of all steps
    assert readout[Product(5, 2, 2)] == 1
    assert readout[Product(5, 2, 4)] == 5


def test_maps_that_are_not_trained_go_forward_only():
    """The readout of a reservoir alone learns. Of spiking outputs, 4 -> 2, R and the readout at the identity are held;
    the gradient passes through both, and of 5 trained steps as R's first input is given."""
    on = online_rnn(INPUTS, OUTPUTS, NEURONS["leaky_tanh"].factory, hidden=[SIZE], reservoir=True)
    forward = {Product(30, 3, 4): 1, Product(5, 4, 4): 6, Product(30, 4, 2): 1}
    assert work(BPTT(), on).products == forward | {Product(2, 5, 4): 1}
    assert work(rule("tbptt", window=1), on).products == {
        **{Product(5, 3, 4): 6, Product(5, 4, 4): 6, Product(5, 4, 2): 6},
        Product(2, 5, 4): 6,
    }
    outputs = work(BPTT(), ecg_spiking_readout(INPUTS, OUTPUTS, NEURONS["lif"].factory, hidden=[SIZE])).products
    assert outputs == {
        Product(30, 3, 4): 1,  # W x
        Product(5, 4, 4): 6 + 5,  # R z, and its gradient by z
        Product(30, 4, 2): 1,  # W_o z of all steps
        Product(5, 2, 2): (6 + 5) + 1,  # the held R, there and back, and back through the held readout
        Product(30, 2, 2): 1,  # the held readout
        Product(4, 30, 3): 1,
        Product(4, 30, 4): 1,
        Product(2, 30, 4): 1,  # ∂/∂W_o
        Product(30, 2, 4): 1,  # its gradient by z
    }


def test_four_currents():
    assert work(BPTT(), network("lstm")).products[Product(5, 4, 16)] == 6


def test_the_traces_of_eprop_are_carried_between_blocks():
    # Forward, R z step by step and the rest of the block at once; at the end L = δ B and ∂/∂W_out. The gradient is one
    # product with p = (x, z, 1), 3 + 4 + 1 numbers, of the last block. A single block carries nothing.
    block = {Product(30, 3, 4): 1, Product(5, 4, 4): 6, Product(30, 4, 2): 1}
    learning = {Product(5, 2, 4): 1, Product(2, 5, 4): 1}
    assert work(rule("eprop")).products == {**block, **learning, Product(4, 30, 8): 1}
    assert len(work(rule("eprop")).streams) == 1
    # 30 steps are a block of 5 steps and one of 25. ε_v is the same for all neurons: 8 numbers; ē: 4 x 8.
    needed, array = work(rule("eprop"), steps=30), (8 + 4 * 8) * BATCH * 4
    assert needed.products == {
        **{Product(n, *map): 1 for n in (25, 125) for map in ((3, 4), (4, 2))},
        **{Product(5, 4, 4): 30, Product(4, 125, 8): 1, Product(4, 5, 8, copies=5): 1},
        **learning,
    }
    assert needed.streams[1] == floor.Stream(array, moved=2 * array)


# Of W and R, and of the readout with its gradient by z; 30 steps are a block of 5 steps and one of 25.
OF_SYNAPSES = {n: Counter([Product(4, n, 3), Product(4, n, 4)]) for n in (5, 25, 50, 125)}
OF_READOUT = {n: Counter([Product(2, n, 4), Product(n, 2, 4)]) for n in (5, 25, 50, 125)}


def test_rules_that_learn_in_blocks_have_one_product_for_the_steps_of_a_block():
    forward = work(Elsewhere(), steps=25).products + work(Elsewhere(), steps=5).products
    readout_work, synapse_work = (counts[25] + counts[125] for counts in (OF_READOUT, OF_SYNAPSES))
    traces = Counter([Product(4, 25, 8), Product(4, 125, 8), Product(4, 5, 8, copies=5)])
    assert work(rule("eprop", loss_at="every"), steps=30).products == forward + readout_work + traces
    assert work(rule("sltt"), steps=30).products == forward + readout_work + synapse_work
    sampled = forward + OF_READOUT[50] + OF_SYNAPSES[50]
    assert work(rule("sltt", sampled_steps=10), steps=30).products == sampled, "in a block of ten"


def test_local_readouts_have_products_of_their_own_in_the_steps_that_count():
    """y of the layer's own readout, L, and the network's readout; 10 steps are left out: a block, and 5 of 25 steps.
    The gradient of LIF, whose trace all neurons share, needs the p of 20 steps; that of ALIF the block's, whose L acts
    through ε_a, 4 x 8, on earlier steps, too."""
    forward = work(Elsewhere(), steps=25).products + work(Elsewhere(), steps=5).products
    local = forward + Counter([Product(100, 4, 2), Product(100, 2, 4), Product(2, 100, 4)])
    decolle = rule("decolle", burn_in=10)
    assert work(decolle, steps=30).products == local + Counter([Product(4, 100, 8)])
    traces = Counter([Product(4, 125, 8), Product(4, 5, 8, copies=5)])
    assert work(decolle, network("alif"), steps=30).products == local + traces


def test_rules_that_carry_an_estimate_of_the_influence_go_backward_from_each_loss():
    once = [*OF_SYNAPSES[5], *OF_READOUT[5]]
    forward = Counter(dict.fromkeys([Product(5, 3, 4), Product(5, 4, 4), Product(5, 4, 2)], 6))
    for options, losses in (({}, 1), ({"loss_at": "every"}, 6)):
        uoro = work(rule("uoro", draws=3, **options)).products
        # Of each of 15 samples: R z̃ from the second step on, and the readout of a change and back from signs.
        signs = Counter({Product(15, 4, 4): 5, Product(15, 4, 2): 6, Product(15, 2, 4): 6})
        assert uoro == forward + Counter(dict.fromkeys(once, losses)) + signs
        # J B of each sample, from the second step on: R and the readout times what B has of z and of the layer.
        kf_rtrl = work(rule("kf_rtrl", **options)).products
        per_sample = {Product(4, 4, 4, copies=5): 5, Product(2, 4, 4, copies=5): 5}
        assert kf_rtrl == forward + Counter({**dict.fromkeys(once, losses), **per_sample})


def test_an_estimate_in_any_other_network_goes_backward_twice_for_each_draw():
    once = [Product(4, 5, 3), Product(4, 5, 4), Product(2, 5, 4), Product(5, 2, 4)]
    of_lstm = work(rule("uoro", draws=3), network("lstm")).products - work(rule("uoro"), network("lstm")).products
    assert set(of_lstm.values()) == {2 * 2 * 6} and len(of_lstm) >= len(once)


def test_an_estimate_reads_and_writes_a_number_for_each_parameter_sample_and_draw():
    needed = work(rule("uoro", draws=3))
    assert needed.streams[1] == floor.Stream(array=3 * 5 * 42 * 4, moved=2 * 3 * 5 * 42 * 4 * 5), "from the second step"


@pytest.mark.parametrize(
    ("neuron", "options", "wiring", "numbers"),
    [
        # κ = 0 and v read: ε_v alone.
        ("lif", {}, {"readout": "membrane", "readout_tau": 0.0}, 8),
        # τ spread over neurons: ε_v differs between them.
        ("lif", {"tau_max": 100.0}, {}, 4 * 8 + 4 * 8),
        # ε_v, the same for all; ε_a; ē. ε_z follows from ε_v and ε_a.
        ("alif", {}, {}, 8 + 4 * 8 + 4 * 8),
        # Synapses: ε_v, ε_b, ē; τ: ε_v, and ε_b through its own spikes, ē; τ_a likewise.
        ("asrnn", {}, {}, 3 * 4 * 8 + 2 * 3 * 4),
    ],
)
def test_traces_by_hand(neuron, options, wiring, numbers):
    needed = work(rule("eprop"), network(neuron, options, **wiring), steps=30)
    assert needed.streams[1].array == numbers * BATCH * 4


def test_rtrl_by_hand():
    # S: v and z of 4 neurons, y of 2: 10. P: W 12, c 4, R 16, readout 8 + 2: 42. M is 0 before the first step.
    assert work(rule("rtrl")).products == {
        Product(5, 3, 4): 6,
        Product(5, 4, 4): 6,
        Product(5, 4, 2): 6,
        Product(10, 10, 42, copies=5): 5,
    }


@pytest.mark.parametrize(
    ("rule", "training", "kept", "moved", "updates"),
    [
        (BPTT(), {}, 4, 7, 1),  # reads w, g, m, v; writes w, m, v
        (BPTT(), {"clip": 1.0}, 4, 8, 1),  # and g once more, for its norm
        (BPTT(), {"optimiser": "adamax"}, 4, 7, 1),
        (BPTT(), {"optimiser": "sgd"}, 2, 3, 1),  # reads w, g; writes w
        (rule("tbptt", window=4), {}, 4, 7, 2),
        (rule("fptt"), {}, 6, 11, 6),  # and reads and writes W̄ and λ
        (rule("fptt", form="paper"), {}, 6, 11, 6),  # W̄ and ∇l
        (rule("fptt", form="none", parts=3, last_part=False), {}, 4, 7, 2),
        (rule("eprop", loss_at="every", update_every=4), {}, 4, 7, 2),
        (rule("eprop"), {}, 4, 7, 1),
        (rule("rtrl"), {}, 4, 7, 1),
        (rule("decolle", burn_in=3, update_every=2), {}, 4, 7, 2),  # after 4 and 6 steps, not after 2
    ],
)
def test_bytes_of_the_updates(rule, training, kept, moved, updates):
    stream = work(rule, training=Training(**{"clip": None, **training})).streams[0]
    assert stream == floor.Stream(array=42 * 4 * kept, moved=42 * 4 * moved * updates)


class Elsewhere(BPTT):
    """A rule that this package does not know: derived from one that it does."""

    claims = Claims(gradient="truncated", memory="O(1)")


def test_of_an_unknown_rule_its_claims_are_believed():
    forward = {Product(30, 3, 4): 1, Product(5, 4, 4): 6, Product(30, 4, 2): 1}
    assert work(Elsewhere()).products == forward
    assert "states no credit" in work(Elsewhere()).contains
    assert work(Elsewhere()).streams == work(BPTT()).streams, "one update"
    claims = type("Exact", (Elsewhere,), {"claims": BPTT.claims})
    assert work(claims()).products == work(BPTT()).products
    assert "as the rule claims" in work(claims()).contains


class Other(Network):
    """A network that is not `recurrent`."""

    def __init__(self, learns: bool) -> None:
        super().__init__()
        self.map, self.frozen = nn.Linear(3, 2), nn.Linear(9, 9).requires_grad_(False)
        self.map.requires_grad_(learns)


def test_of_another_network_only_the_maps_that_learn_are_known():
    assert work(BPTT(), Other(True)).products == {Product(30, 3, 2): 1, Product(2, 5, 3): 1}


def rates(needed: floor.Operations, rate: float, threads: int = 1, contended: bool = False) -> Yardstick:
    """A machine on which the best is twice the median."""
    measured = Rate(rate, rate / 2, rate / 4, rate, 9)
    arrays = [stream.array for stream in needed.streams]
    return Yardstick(
        dict.fromkeys(needed.products, measured), dict.fromkeys(arrays, measured), measured, threads, contended
    )


def test_floor_is_work_at_the_best_rates(monkeypatch):
    needed = work(rule("eprop"))
    monkeypatch.setattr(floor, "yardstick", lambda products, streams: rates(needed, 1000.0))
    result = floor.floor_measures(rule("eprop"), network(), ADAM, BATCH, STEPS, wall_time=100.0)
    expected = (needed.flops + needed.moved) / 1000 / BATCH
    assert result["floor_time"].value == pytest.approx(expected)
    assert result["time_over_floor"].value == pytest.approx(100 / expected)
    assert result["matmul_rate"].value == pytest.approx(500)
    assert result["copy_bandwidth"].value == pytest.approx(500)
    units = {name: measure.unit for name, measure in result.items()}
    assert units == {
        "copy_bandwidth": "byte a second",
        "floor_time": "second a sequence",
        "time_over_floor": "1",
        "matmul_rate": "flop a second",
    }
    assert "traces" in result["floor_time"].method


def test_what_disturbed_the_rates_is_said(monkeypatch):
    needed = work(BPTT())
    monkeypatch.setattr(floor, "yardstick", lambda products, streams: rates(needed, 1000.0, contended=True))
    result = floor.floor_measures(BPTT(), network(), ADAM, BATCH, STEPS, wall_time=100.0)
    assert "other processes" in result["floor_time"].method


def test_rates_of_several_threads_that_others_disturbed_make_no_floor(monkeypatch):
    """A product is as slow as the slowest of its threads: the rates may be too low, and the floor too high."""
    needed = work(BPTT())
    monkeypatch.setattr(floor, "yardstick", lambda *sizes: rates(needed, 1000.0, threads=2, contended=True))
    result = floor.floor_measures(BPTT(), network(), ADAM, BATCH, STEPS, wall_time=100.0)
    assert "2 threads" in result["floor_time"].missing
    assert result["time_over_floor"].value is None


def test_a_network_without_maps_has_no_floor(monkeypatch):
    nothing = work(BPTT(), Other(False))
    assert nothing.flops == nothing.moved == 0
    monkeypatch.setattr(floor, "yardstick", lambda products, streams: rates(nothing, 1000.0))
    result = floor.floor_measures(BPTT(), Other(False), ADAM, BATCH, STEPS, wall_time=100.0)
    assert result["copy_bandwidth"].value == 500
    assert {name for name, measure in result.items() if measure.missing} == {
        "floor_time",
        "time_over_floor",
        "matmul_rate",
    }


class Executed(TorchDispatchMode):
    """Counts the flops of all products that are run."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        # In place they are no entries of their own: addmm_ counts as addmm.
        packet = getattr(torch.ops.aten, function._overloadpacket.__name__.rstrip("_"), None)
        if counted := flop_registry.get(packet):
            self.flops += counted(*args, **(kwargs or {}), out_val=out)
        return out


def started(rule: LearningRule, on: Network, training: Training, clock: Clock, steps: int) -> Updater:
    rule.start(on, Classification(OUTPUTS), steps)
    return Updater([*(p for p in on.parameters() if p.requires_grad), *rule.parameters()], training, clock)


def a_batch(inputs: int, steps: int, sequences: int) -> Batch:
    return Batch(torch.randn(steps, sequences, inputs), torch.randint(0, OUTPUTS, (sequences,)))


RULES = {
    "bptt": BPTT(),
    "bptt every": BPTT(loss_at="every"),
    "checkpointed_bptt": rule("checkpointed_bptt", loss_at="every"),
    "tbptt": rule("tbptt", window=4),
    "fptt": rule("fptt"),
    "fptt in parts": rule("fptt", parts=4),
    "fptt paper": rule("fptt", form="paper"),
    "fptt, last part untrained": rule("fptt", form="none", parts=2, last_part=False),
    "eprop": rule("eprop"),
    "eprop every": rule("eprop", loss_at="every", update_every=4),
    "diagonal_rtrl": rule("diagonal_rtrl"),
    "rtrl": rule("rtrl"),
    "sltt, steps sampled": rule("sltt", sampled_steps=2),
    "decolle": rule("decolle", burn_in=2),
    "decolle, two updates": rule("decolle", burn_in=2, update_every=2),
}
WIRINGS = {
    "plain": {},
    "two layers": {"hidden": [SIZE, 7]},
    "membrane": {"readout": "membrane", "readout_tau": 0.0},
    "gated": {"readout_leak": "gated", "recurrent_bias": True},
    "normalised": {"readout_leak": "gated", "norm_steps": STEPS},
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
def test_never_more_than_the_products_that_are_run(rule, wiring):
    """The bound holds for every neuron, in other wirings for one without maps of its own and one with; the floor leaves
    network and random numbers unchanged."""
    others = () if wiring else ("alif", "asrnn", "ltc_adding", "ltc_smnist", "lstm", "rnn")
    for neuron in ("lif", "ltc", *others):
        on = network(neuron, **wiring)
        if rule.supports(on, Classification(OUTPUTS), STEPS):
            continue
        random, weights = torch.get_rng_state(), {name: value.clone() for name, value in on.state_dict().items()}
        needed = work(rule, on)
        assert torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(value, weights[name]) for name, value in on.state_dict().items())

        update = started(rule, on, ADAM, Clock(), STEPS)
        with Executed() as executed:
            learn_batch(rule, a_batch(INPUTS, STEPS, BATCH), update)
        assert needed.flops <= executed.flops, neuron
        parameters = sum(p.numel() for p in on.parameters() if p.requires_grad)
        update_copies = needed.streams[0].moved / (update.count * 4 * parameters)
        assert update_copies == (11 if getattr(rule, "form", "none") != "none" else 7), "as many updates as there are"


def test_all_the_products_of_bptt_and_no_others():
    """With a loss at every step autograd wastes nothing on LIF: the floor has just the flops that are run."""
    rule, on = BPTT(loss_at="every"), network()
    update = started(rule, on, ADAM, Clock(), STEPS)
    with Executed() as executed:
        learn_batch(rule, a_batch(INPUTS, STEPS, BATCH), update)
    assert work(rule, on).flops == executed.flops


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "neuron", "inputs", "hidden", "steps", "sequences"),
    [
        (BPTT(), "lif", 40, 128, 100, 64),
        (BPTT(), "lif", 40, 512, 50, 64),
        (BPTT(), "lstm", 1, 512, 10, 128),
        (rule("fptt"), "ltc", 1, 256, 20, 128),
        (rule("fptt", form="paper"), "ltc", 1, 256, 10, 512),
        (rule("eprop"), "lif", 40, 128, 20, 64),
        (rule("rtrl"), "lif", 2, 8, 10, 32),
        (BPTT(), "lif", 2, 4, 10, 2),
    ],
)
def test_nothing_is_faster_than_its_floor(rule, neuron, inputs, hidden, steps, sequences, monkeypatch, tmp_path):
    monkeypatch.setenv("THROUGHTIME_CACHE", str(tmp_path))
    on, clock, batch = network(neuron, inputs=inputs, hidden=[hidden]), Clock(), a_batch(inputs, steps, sequences)
    update = started(rule, on, Training(), clock, steps)
    time = timed(lambda: learn_batch(rule, batch, update), clock)
    result = floor.floor_measures(rule, on, Training(), sequences, steps, min(time.samples) / sequences)
    assert result["time_over_floor"].value >= 1
