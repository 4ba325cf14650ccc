"""Defaults and initial distributions of the package's components, with their sources, and the facts that test them.

A default is part of the meaning of a name: results of `alif` must be of the same neuron next year.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic_core import PydanticUndefined
from torch import Tensor

from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.tiny import build, seeded
from throughtime.neurons.lif import LIF
from throughtime.registry import Component


class Defaults(NamedTuple):
    """Default values of all options of a component, and their source."""

    source: str
    options: dict[str, Any]
    null: Mapping[str, Any] = MappingProxyType({})
    """The values that null stands for, by an attribute of the component that is built with the defaults."""


BELLEC = "Bellec et al. 2020, and their tutorials' scaling"
YIN_2021 = "Yin, Corradi and Bohte 2021, released code"
YIN_2023 = "Yin, Corradi and Bohte 2023, fptt_mnist/snn_models_LIF4_save4.py"
HIGUCHI = "Higuchi et al. 2024, AdaptiveAILab/brf-neurons, snn/modules/rf.py"
OURS = "our choice"
RANGES = {"omega_min": 5.0, "omega_max": 10.0, "damping_min": 0.0, "damping_max": 3.0}
RF = {**RANGES, "dt": 0.01, "threshold": 1.0, "surrogate": "double_gaussian"}
TRACES = {"loss_at": "end", "update_every": None}
EACH_STEP: dict[str, Any] = {"loss_at": "every", "update_every": None}
PRESYNAPTIC = EACH_STEP | {"decay": None}
SAMPLED: dict[str, Any] = {"sampled_steps": None, "unbiased": False}
FPTT = {
    **{"parts": None, "form": "code", "alpha": None, "update_alpha": None, "beta": None, "rho": None},
    **{"adopt_mean": None, "reset_lambda": None, "weights": "ramp", "last_part": True},
}
AUXILIARY = {"auxiliary": "off", "auxiliary_uniform_epochs": None}
DEFAULTS: dict[tuple[str, str], Defaults] = {
    ("rules", "bptt"): Defaults(
        OURS,
        {"loss_at": "end", "weights": "equal", "total": None, "backward": "once", "rate_cost": None}
        | AUXILIARY
        | {"rate_target": None, "spike_penalties": None},
        {"total": "mean", "auxiliary_uniform_epochs": 0, "rate_target": 0.01},
    ),
    ("rules", "rtrl"): Defaults(OURS, TRACES),
    ("rules", "rolling_tbptt"): Defaults(OURS, {"window": 10}),
    ("rules", "checkpointed_bptt"): Defaults(OURS, {"loss_at": "end"}),
    ("rules", "snap1"): Defaults(OURS, TRACES),
    ("rules", "snap_n"): Defaults(OURS, TRACES | {"n": 2}),
    ("rules", "ostl"): Defaults("Bohnstingl et al. 2022", TRACES | {"with_H": True}),
    ("rules", "uoro"): Defaults(OURS, TRACES | {"draws": 1}),
    ("rules", "kf_rtrl"): Defaults(OURS, TRACES | {"draws": 1}),
    ("rules", "recurrent_traces"): Defaults("Ma et al. 2025, released code", EACH_STEP | {"decay": None}),
    ("rules", "penalised"): Defaults(
        OURS, {"rule": PydanticUndefined, "spike_penalties": PydanticUndefined, "options": None}
    ),
    ("rules", "tbptt"): Defaults(OURS, {"window": 10, "loss_at": "end", "weights": "equal"}),
    ("rules", "diagonal_rtrl"): Defaults(OURS, TRACES),
    ("rules", "eprop"): Defaults(
        BELLEC,
        TRACES
        | {"feedback": "symmetric", "feedback_sd": None, "feedback_decay": None}
        | {"rate_cost": None, "rate_target": None, "rate_mean": None},
        {"feedback_decay": 0.01, "rate_target": 0.01, "rate_mean": "sequence"},
    ),
    ("rules", "presynaptic_trace"): Defaults(OURS, PRESYNAPTIC | SAMPLED),
    ("rules", "sltt"): Defaults("Meng et al. 2023", EACH_STEP | SAMPLED),
    ("rules", "ottt"): Defaults("Xiao et al. 2022, OTTT_A", PRESYNAPTIC),
    ("rules", "s_tllr"): Defaults(
        "Apolinario and Roy 2025, released code, DVS-Gesture",
        EACH_STEP | {"decay": 0.75, "post_decay": 0.2, "causal": 1.0, "noncausal": -1.0},
    ),
    ("rules", "pp_prop"): Defaults(OURS, EACH_STEP | {"decay": 0.9}),
    **dict.fromkeys(
        [("rules", "otpe"), ("rules", "approximate_otpe")],
        Defaults("Summe, Schaefer and Joshi 2023, offline", PRESYNAPTIC),
    ),
    ("rules", "rflo"): Defaults("Murray 2019", EACH_STEP | {"feedback_sd": None}),
    ("rules", "decolle"): Defaults(OURS, {"update_every": None, "burn_in": 0}),
    ("rules", "fptt"): Defaults(
        "Kag and Saligrama 2021; Yin, Corradi and Bohte 2023",
        FPTT | AUXILIARY,
        {"alpha": 0.1, "update_alpha": 0.1, "beta": 0.5, "rho": 0.0, "adopt_mean": True, "reset_lambda": False}
        | {"auxiliary_uniform_epochs": 0},
    ),
    ("neurons", "lif"): Defaults(
        BELLEC,
        {"tau": 20.0, "tau_max": None, "threshold": 0.1, "input_gain": "leak", "reset": "subtract", "refractory": 0}
        | {"surrogate": "triangle"},
    ),
    ("neurons", "alif"): Defaults(
        BELLEC,
        {"tau": 20.0, "tau_max": None, "tau_adaptation": 200.0, "threshold": 0.1, "beta": 1.8}
        | {"adaptive": 1.0, "input_gain": "leak", "refractory": 0, "surrogate": "triangle"},
    ),
    ("neurons", "asrnn"): Defaults(
        YIN_2021,
        {"decay": "exponential", "tau_mean": 20.0, "tau_sd": 5.0, "tau_adaptation_mean": 200.0}
        | {"tau_adaptation_sd": 25.0, "b0": 0.01, "beta": 1.8, "resistance": 1.0, "reset": "next_step"}
        | {"reset_gradient": True, "surrogate": "wide_multi_gaussian"},
    ),
    ("neurons", "ltc"): Defaults(
        YIN_2023,
        {"gate_input": "concatenated", "adaptation": "gated", "b0": 0.1, "beta": None, "slope": "fixed", "tau": None}
        | {"tau_max": None, "reset_gradient": True, "initial": "zero", "surrogate": "multi_gaussian"},
        {"beta": 1.8},
    ),
    ("neurons", "cuba"): Defaults(
        "Zenke and Vogels 2021: 10 ms, 5 ms and 1, at 1 ms a step",
        {"tau": 10.0, "tau_max": None, "tau_synapse": 5.0, "threshold": 1.0, "reset": "zero"}
        | {"surrogate": "fast_sigmoid", "input_gain": "leak", "delay": 0},
    ),
    ("neurons", "plif"): Defaults(
        "fangwei123456/spikingjelly, ParametricLIFNode; detach_reset as in the logs of Fang et al. 2021",
        {"tau": 2.0, "threshold": 1.0, "reset_gradient": False, "surrogate": "arctan"},
    ),
    ("neurons", "izhikevich"): Defaults(
        "Izhikevich 2003, regular spiking; gain and width are our choice",
        {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0, "gain": 10.0, "width": 30.0, "surrogate": "arctan"},
    ),
    ("neurons", "glif"): Defaults(
        "fangwei123456/spikingjelly, GatedLIFNode, with T = 4 in its linear leak",
        {"parameters": "neuron", "decay": 0.25, "leak": 0.0625, "conductance": 0.5, "reset": 0.5, "threshold": 0.5}
        | {"surrogate": "arctan"},
    ),
    ("neurons", "adlif"): Defaults(
        "IGITUGraz/SE-adlif, config/experiment/SHD_SE_adLIF.yaml and models/alif.py",
        {"tau_min": 5.0, "tau_max": 25.0, "tau_adaptation_min": 60.0, "tau_adaptation_max": 300.0, "strength": 120.0}
        | {"threshold": 1.0, "surrogate": "exponential"},
    ),
    ("neurons", "rf"): Defaults(HIGUCHI, RF),
    ("neurons", "brf"): Defaults(HIGUCHI, RF | {"refractory_decay": 0.9}),
    ("neurons", "ssnu"): Defaults("IBM/ostl, OSTL_Tutorial_JSB_stripped.ipynb", {"decay": 0.4, "bias": 1.0}),
    ("neurons", "leaky_tanh"): Defaults(
        "murray-lab/rflo-learning, RFLO_Example.ipynb: τ = 10", {"alpha": 0.1, "initial": 0.0}
    ),
    ("neurons", "lru"): Defaults(
        "NicolasZucchet/Online-learning-LR-dependencies, online_lru/rec.py",
        {"r_min": 0.0, "r_max": 1.0, "phase_max": 2 * math.pi},
    ),
    ("networks", "online_rnn"): Defaults("vanilla-rtrl, main.py", {"hidden": (32,), "reservoir": False}),
    ("networks", "chaotic_rnn"): Defaults(
        "murray-lab/rflo-learning, RFLO_Example.ipynb", {"hidden": (50,), "gain": 1.5}
    ),
    ("networks", "spytorch_mlp"): Defaults("fzenke/spytorch, tutorial 2", {"hidden": (100,)}),
    ("networks", "recurrent"): Defaults(
        OURS,
        {"hidden": (64,), "readout": "spikes", "readout_leak": "constant", "readout_tau": None, "readout_max": False}
        | {
            "weights": "separate",
            "biases": True,
            "recurrent_weights": True,
            "readout_synapse": None,
            "recurrent_bias": False,
            "density": 1.0,
            "self_connections": True,
            "norm_steps": None,
        },
        {"readout.neuron.decay": math.exp(-1 / 20)},
    ),
    ("networks", "layered"): Defaults(OURS, {"layers": PydanticUndefined, "readouts": None, "weights": "uniform"}),
    ("networks", "encoded"): Defaults(
        "SpyTorch, tutorial 5",
        {"encoders": 32, "encoder_tau": 20.0, "encoder_surrogate": None, "hidden": (200,)}
        | {"gain": 3.0, "recurrent_gain": 0.03, "readout_tau": 20.0, "readout_synapse": None, "readout_max": False},
        {"layers.0.neuron.surrogate": {"name": "fast_sigmoid", "slope": 20.0, "height": 1.0}},
    ),
    ("networks", "nir"): Defaults(OURS, {"path": PydanticUndefined, "dt": None, "scheme": None}),
    ("networks", "jsb_rnn"): Defaults("Bohnstingl et al. 2022, as released", {"hidden": (150,)}),
    ("networks", "ecg_rnn"): Defaults("Higuchi et al. 2024, as released", {"hidden": (36,)}),
    ("networks", "ecg_spiking_readout"): Defaults("Yin et al. 2021, as released", {"hidden": (36,)}),
}


class Draw(NamedTuple):
    """The distribution of a parameter; `sd` is a function of its shape."""

    uniform: bool
    mean: float
    sd: Callable[[Tensor], float]


UNIFORM_FAN_IN = Draw(True, 0.0, lambda w: 1 / math.sqrt(3 * w.shape[1]))
SIZE, INPUTS = 400, 300
"""Neurons and inputs of the networks whose draws are examined."""
GLOROT_UNIFORM = Draw(True, 0.0, lambda w: math.sqrt(2 / (w.shape[0] + w.shape[1])))
GLOROT_NORMAL = Draw(False, 0.0, lambda w: math.sqrt(2 / (w.shape[0] + w.shape[1])))
ZERO = Draw(False, 0.0, lambda w: 0.0)
SYNAPSES = {"inward.weight": UNIFORM_FAN_IN, "recurrent.weight": UNIFORM_FAN_IN}
READOUT = {"readout.linear.weight": GLOROT_NORMAL, "readout.linear.bias": ZERO}
GATES = ("membrane_gate.weight", "adaptation_gate.weight")


def normal(mean: float, sd: float) -> Draw:
    return Draw(False, mean, lambda w: sd)


def uniform(low: float, high: float) -> Draw:
    return Draw(True, (low + high) / 2, lambda w: (high - low) / math.sqrt(12))


DRAWS: dict[tuple[str, str], dict[str, Draw]] = {
    ("networks", "recurrent"): SYNAPSES | READOUT,
    ("networks", "jsb_rnn"): {
        **dict.fromkeys(("inward.weight", "recurrent.weight", "readout.linear.weight"), GLOROT_UNIFORM),
        **dict.fromkeys(("inward.bias", "readout.linear.bias"), ZERO),
    },
    ("networks", "ecg_rnn"): {
        # One map on [x ; z], of SIZE rows and INPUTS + SIZE columns.
        **dict.fromkeys(
            ("inward.weight", "recurrent.weight"), Draw(True, 0.0, lambda w: math.sqrt(2 / (INPUTS + 2 * SIZE)))
        ),
        **dict.fromkeys(("inward.bias", "readout.linear.bias"), ZERO),
        "readout.linear.weight": GLOROT_UNIFORM,
        "readout.neuron.tau": normal(20.0, 1.0),
    },
    ("networks", "ecg_spiking_readout"): {
        "layers.1.inward.weight": GLOROT_UNIFORM,
        **dict.fromkeys(("layers.1.inward.bias", "layers.1.recurrent.weight"), ZERO),
        "neuron.tau": normal(20.0, 0.0),
        "neuron.tau_adaptation": normal(100.0, 0.0),
    },
    ("networks", "online_rnn"): {
        "inward.weight": Draw(False, 0.0, lambda w: 1 / math.sqrt(w.shape[1])),
        "recurrent.weight": Draw(False, 0.0, lambda w: 1 / math.sqrt(w.shape[1])),
        "linear.weight": Draw(False, 0.0, lambda w: 1 / math.sqrt(w.shape[1])),
        "bias": ZERO,
    },
    ("networks", "chaotic_rnn"): {
        "recurrent.weight": Draw(False, 0.0, lambda w: 1.5 / math.sqrt(w.shape[1])),
        "linear.weight": Draw(True, 0.0, lambda w: 0.1 / math.sqrt(3 * w.shape[1])),
        "bias": ZERO,
    },
    ("networks", "spytorch_mlp"): {
        "inward.weight": Draw(False, 0.0, lambda w: 0.66613807 / math.sqrt(w.shape[1])),
        "linear.weight": Draw(False, 0.0, lambda w: 0.66613807 / math.sqrt(w.shape[1])),
        "bias": ZERO,
    },
    ("networks", "encoded"): {
        **dict.fromkeys(("inward.weight", "linear.weight"), Draw(False, 0.0, lambda w: 3 / math.sqrt(w.shape[1]))),
        "recurrent.weight": Draw(False, 0.0, lambda w: 0.03 / math.sqrt(w.shape[1])),
        **dict.fromkeys(("gains.gain", "gains.offset"), normal(0.0, 1.0)),
        "bias": ZERO,
    },
    ("neurons", "asrnn"): {"tau": normal(20.0, 5.0), "tau_adaptation": normal(200.0, 25.0)},
    ("neurons", "asrnn_adding"): {"tau": normal(2.0, 1.0), "tau_adaptation": normal(4.0, 1.0)},
    ("neurons", "glif"): {name: uniform(-0.1, 0.1) for name in ("alpha", "beta", "gamma")},
    ("neurons", "rf"): {"omega": uniform(5.0, 10.0), "damping": uniform(0.0, 3.0)},
    ("neurons", "brf"): {"omega": uniform(5.0, 10.0), "damping": uniform(0.0, 3.0)},
    ("neurons", "ltc"): dict.fromkeys(GATES, UNIFORM_FAN_IN),
    ("neurons", "ltc_smnist"): dict.fromkeys(GATES, GLOROT_NORMAL),
}
"""Endings of parameters' names, with their distributions: PyTorch's U(±1/√fan-in), Glorot's normal rule, or a normal
or uniform distribution of the source that the component's docstring names."""


def defaults_are_the_sources(component: Component) -> Observed:
    """Count options whose defaults differ from `DEFAULTS`, or that only one of the two has, and values of null."""
    source, expected, null = DEFAULTS[component.kind, component.name]
    defaults = {name: field.default for name, field in component.options.model_fields.items()}
    off = [name for name in defaults.keys() | expected.keys() if defaults.get(name, ...) != expected.get(name, ...)]
    built = _built(component, hidden=[5]) if null else None
    off += [name for name, value in null.items() if attrgetter(name)(built) != value]
    return Observed(len(off), ", ".join(sorted(off)) or source)


def draws_are_the_sources(component: Component) -> Observed:
    """Return the largest deviation of mean and spread of a parameter, in standard errors; infinite where a distribution
    is uniform instead of normal, or normal instead of uniform."""
    module = _built(component, hidden=[SIZE])
    errors = []
    for ending, draw in DRAWS[component.kind, component.name].items():
        for name, p in module.named_parameters():
            if name.endswith(ending):
                errors.append((name, off_by(p.detach(), draw)))
    return worst(errors, "no parameter of that name")


def _built(component: Component, hidden: list[int]) -> Any:
    """Return the component with its defaults; a layer of neurons has `hidden[0]` of them."""
    with seeded(3):
        if component.kind == "networks":
            return build(component, INPUTS, 100, LIF, hidden=hidden)
        return build(component, *hidden) if component.kind == "neurons" else build(component)


def off_by(w: Tensor, draw: Draw) -> float:
    sd, n = draw.sd(w), w.numel()
    if sd == 0:
        return float((w - draw.mean).abs().max()) and math.inf
    is_uniform = float((w - draw.mean).abs().max()) <= math.sqrt(3) * sd * (1 + 1e-6)
    if is_uniform != draw.uniform:
        return math.inf
    return max(abs(float(w.std()) / sd - 1) * math.sqrt(2 * n), abs(float(w.mean()) - draw.mean) / sd * math.sqrt(n))


def facts(component: Component) -> tuple[Fact, ...]:
    """Return the facts of a component of the package; none for others."""
    key = (component.kind, component.name)
    if component.origin != "throughtime":
        return ()
    defaults = Fact("defaults are those of the table of sources", 0, defaults_are_the_sources)
    draws = Fact("parameters are drawn as the table of sources says", 5, draws_are_the_sources)
    return (*((defaults,) if key in DEFAULTS else ()), *((draws,) if key in DRAWS else ()))
