"""Rules, neurons and networks on another device than the processor, without one.

On PyTorch's device `meta` tensors have a shape and no numbers. A batch is learnt with all of the network on it, under a
mode that refuses operations on tensors of two devices: it finds code that creates a tensor on the processor and
combines it with the others, forward and backward. It tests neither that a device has a kernel, nor
numbers, nor code that reads the value of a number (the table of FPTT's auxiliary loss, optimisers, measurements).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from throughtime.algorithms.bptt import BPTT
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification, Regression
from throughtime.errors import first_line
from throughtime.harness.batches import learn_batch
from throughtime.networks.setting import Setting, tiny_setting
from throughtime.neurons.base import shape_of
from throughtime.numerics.precision import in_precision
from throughtime.registry import ALGORITHMS, NETWORKS, NEURONS

DEVICE = "meta"
STEPS, BATCH, INPUTS, OUTPUTS = 3, 5, 3, 2
RULES = {
    **{name: (name, {}) for name in ("bptt", "eprop", "diagonal_rtrl", "rtrl")},
    "tbptt": ("tbptt", {"window": 2}),
    "bptt, every step": ("bptt", {"loss_at": "every"}),
    **{f"fptt, {form}": ("fptt", {"form": form, "parts": 2}) for form in ("code", "paper", "none")},
    **{f"eprop, {feedback}": ("eprop", {"feedback": feedback}) for feedback in ("random", "adaptive")},
    "eprop, rates": ("eprop", {"rate_cost": 1.0, "loss_at": "every", "update_every": 2}),
    **{name: (name, {}) for name in ("sltt", "s_tllr", "pp_prop", "rflo", "decolle", "recurrent_traces")},
    **{
        name: (name, {"decay": 0.5}) for name in ("presynaptic_trace", "ottt", "otpe", "approximate_otpe")
    },  # α would be read from the neuron
    **{name: (name, {}) for name in ("snap1", "uoro", "kf_rtrl", "rolling_tbptt", "checkpointed_bptt")},
    "sltt, two steps": ("sltt", {"sampled_steps": 2, "update_every": 3}),
    **{
        f"penalised, {rule}": ("penalised", {"rule": rule, "spike_penalties": [{"strength": 0.1}]})
        for rule in ("tbptt", "eprop")
    },
}
ELEMENTWISE = ("lif", "alif", "asrnn")
DERIVED = ("lif", "asrnn", "ltc")  # constants; a parameter for each neuron; gates, which are dense maps
SUPPORTED = {
    "rtrl": ("lif", "alif", "ltc", "lstm", "lru"),
    **dict.fromkeys(("snap1", "uoro", "kf_rtrl", "rolling_tbptt", "checkpointed_bptt"), ("lif", "alif")),
    "s_tllr": ELEMENTWISE,
    **dict.fromkeys(("pp_prop", "rflo", "decolle", "tbptt", "sltt", "presynaptic_trace", "ottt"), DERIVED),
    **dict.fromkeys(("otpe", "approximate_otpe", "penalised"), ELEMENTWISE),
    "recurrent_traces": ("lif", "alif"),
}
"""Neurons that rules are tried with. `bptt` is tried with all, as are `eprop` and `diagonal_rtrl`, which take the
partial derivatives of a neuron's equations; options with those of `DERIVED` alone."""
READOUTS = {
    "membrane": {"readout": "membrane", "readout_tau": 0.0},
    "leaky": {"readout": "spikes", "readout_tau": 5.0},
    "gated": {"readout": "spikes", "readout_leak": "gated"},
    "normalised": {"readout": "spikes", "readout_leak": "gated", "norm_steps": STEPS},
    "two layers": {"hidden": [4, 4]},
}


BUILT: dict[str, torch.nn.Module] = {}
"""Networks that were built, of which each rule learns a copy."""


class SquaresOfAll(Regression):
    """The squares of all outputs of several readouts."""

    def loss(self, outputs, target):
        return sum(y.square().mean() for y in outputs.values())


class OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of two devices, numbers of no dimension excepted, as CUDA does.

    The device `meta` by itself accepts operands on other devices in products, indexing and more. Copies from one
    device to another are allowed.
    """

    COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        devices = {t.device.type for t in tensors if t.dim()} | {
            t.device.type for t in tensors if t.device.type != "cpu"
        }
        if len(devices) > 1 and func not in self.COPIES:
            raise RuntimeError(f"{func} on tensors of {' and '.join(sorted(devices))}")
        return func(*args, **kwargs)


def learn(
    rule, neuron="lif", network="recurrent", task=None, precision="float32", steps=STEPS, **options
) -> str | None:
    """Learn one batch with every tensor on the device; return the reason that the rule declines with, or None."""
    task = task or Regression(chance=1.0)
    setting = tiny_setting(NETWORKS[network]) or Setting(INPUTS, OUTPUTS, neuron, options={"hidden": [4], **options})
    if (key := repr((network, neuron, setting))) not in BUILT:
        kind = NEURONS[neuron].factory
        BUILT[key] = NETWORKS[network].factory(setting.inputs, setting.outputs, kind, **setting.options).to(DEVICE)
    net = in_precision(copy.deepcopy(BUILT[key]), precision)
    if isinstance(setting.outputs, Mapping):
        task = SquaresOfAll(chance=1.0)
    target = torch.zeros(BATCH, setting.outputs if isinstance(setting.outputs, int) else OUTPUTS)
    if isinstance(task, Classification):
        target = torch.zeros(BATCH, dtype=torch.int64)
    x = torch.zeros(steps, BATCH, math.prod(shape_of(setting.inputs)), device=DEVICE)
    batch = Batch(x, target.to(DEVICE))
    if (reason := rule.supports(net, task, steps)) is not None:
        return reason
    updates = 0

    def update() -> None:
        nonlocal updates
        updates += 1
        for p in (*net.parameters(), *rule.parameters()):
            assert p.device.type == DEVICE and (p.grad is None or p.grad.device.type == DEVICE)
            p.grad = None

    with OneDevice():
        rule.start(net, task, steps)
        loss = learn_batch(rule, batch, update)
    assert loss.device.type == DEVICE and updates
    return None


def make_rule(name: str):
    kind, options = RULES[name]
    return ALGORITHMS[kind].factory(**options)


def fault(rule: str, **cell) -> str | None:
    """The reason that a rule declines a cell with, or the first line of the error that it raises; None if it learns."""
    try:
        return learn(make_rule(rule), **cell)
    except Exception as error:
        return f"{type(error).__name__}: {first_line(error)}"


def test_every_rule_is_among_those_tried():
    # These two read the values of R to find the synapses that exist; `meta` has no values.
    assert {kind for kind, _ in RULES.values()} | {"snap_n", "ostl"} == set(ALGORITHMS.names())


CELLS = [
    (rule, neuron)
    for rule, (kind, _) in RULES.items()
    for neuron in NEURONS.names()
    # Two presets have no code of their own; and e-prop asks for derivatives that these cells do not give.
    if neuron in SUPPORTED.get(kind, DERIVED if rule != kind else NEURONS.names())
    and (rule != "eprop, rates" or NEURONS[neuron].factory(1).spiking)
    and neuron not in ("ltc_adding", "asrnn_adding")
    and (kind != "eprop" or neuron not in ("lstm", "rnn"))
]


def test_every_rule_and_neuron():
    result = {(rule, neuron): fault(rule, neuron=neuron) for rule, neuron in CELLS}
    assert {cell: message for cell, message in result.items() if message} == {}


def test_every_readout():
    declined = {"eprop": ["gated", "normalised"], "rtrl": ["normalised"]}
    declined |= dict.fromkeys(("diagonal_rtrl", "sltt", "pp_prop", "decolle"), declined["eprop"])
    for rule in ("bptt", "fptt, code", "eprop", "diagonal_rtrl", "rtrl", "sltt", "pp_prop", "decolle"):
        reasons = {readout: learn(make_rule(rule), **options) for readout, options in READOUTS.items()}
        assert [readout for readout, reason in reasons.items() if reason] == declined.get(rule, []), (rule, reasons)


def test_every_network():
    names = [name for name in NETWORKS.names() if name != "nir"]  # its neurons are those of a file, and no LTC
    late = {"spytorch_mlp": 4}  # its output is a step late: a window of one step has no gradient
    result = {name: fault("fptt, code", neuron="ltc", network=name, steps=late.get(name, 2)) for name in names}
    result |= {"classes": fault("bptt", neuron="ltc", task=Classification(OUTPUTS))}
    assert {cell: message for cell, message in result.items() if message} == {}


def test_every_rule_with_products_in_bfloat16():
    neurons = {rule: "lif" if "ltc" not in SUPPORTED.get(kind, ["ltc"]) else "ltc" for rule, (kind, _) in RULES.items()}
    result = {rule: fault(rule, neuron=neuron, precision="bfloat16") for rule, neuron in neurons.items()}
    assert {rule: message for rule, message in result.items() if message} == {}


class Careless(BPTT):
    """Makes a tensor of its own and forgets where it should be."""

    def __init__(self, use):
        super().__init__()
        self.use = use

    def learn(self, x, target, t):
        return super().learn(self.use(x), target, t)


USES = {
    "added": lambda x: x + torch.ones(INPUTS),
    "multiplied": lambda x: x @ torch.eye(INPUTS),
    "as an index": lambda x: x[:, torch.arange(BATCH)],
    "in a list": lambda x: torch.cat([x[:-1], torch.zeros(1, BATCH, INPUTS)]),
}


def test_the_error_of_a_cell_is_its_fault():
    assert fault("bptt", neuron="lif", hidden=["four"]).startswith("TypeError: ")
    assert fault("eprop", neuron="lif", **READOUTS["gated"])


@pytest.mark.parametrize("use", USES)
def test_a_tensor_left_on_the_processor_is_found(use):
    with pytest.raises(RuntimeError, match=r"on tensors of cpu and meta|is not on the expected device meta"):
        learn(Careless(USES[use]))


def test_a_number_from_the_processor_may_meet_any_tensor():
    assert learn(Careless(lambda x: x * torch.tensor(2.0))) is None
