# Written by `python -m throughtime.face.stub`.
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.base import Dataset
from throughtime.networks.base import Network
from throughtime.neurons.base import Neuron, Shape
from throughtime.comparing.compare import compare as compare
from throughtime.datasets.torch_sequences import as_dataset as as_dataset
from throughtime.face.api import check as check
from throughtime.face.api import figure as figure
from throughtime.face.api import frame as frame
from throughtime.face.api import run as run
from throughtime.face.api import table as table
from throughtime.face.memory import bytes as bytes
from throughtime.face.memory import recommend as recommend
from throughtime.harness.batches import evaluate as evaluate
from throughtime.harness.learner import Learner as Learner
from throughtime.harness.weights import load_network as load_network
from throughtime.records.results import Results as Results
from throughtime.registry import algorithm as algorithm
from throughtime.registry import dataset as dataset
from throughtime.registry import network as network
from throughtime.registry import neuron as neuron

__version__: str
_PLACES: dict[str, str]
__all__ = [
    "Learner",
    "Results",
    "algorithm",
    "as_dataset",
    "build_dataset",
    "build_network",
    "build_rule",
    "bytes",
    "check",
    "compare",
    "dataset",
    "evaluate",
    "figure",
    "frame",
    "load",
    "load_network",
    "network",
    "neuron",
    "neuron_type",
    "recommend",
    "run",
    "table",
]

load = Results.load

@overload
def build_dataset(
    name: Literal["add_dependencies"],
    *,
    steps: int = 10000,
    near: int = 5,
    far: int = 9,
    hold: int = 1,
    sequences: int = 1,
    held_out: int = 1,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["adding"],
    *,
    steps: int = 200,
    sequences: int = 1280,
    held_out: int = 1000,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["bccd"],
    *,
    size: int = 416,
    steps: int = 8,
    changes: Sequence[Literal["flip", "jitter", "colour", "mosaic"]] = (),
    smoothing: float = 0.0,
    limit: Any | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["braille"],
    *,
    hold: int = 2,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["cifar10dvs"],
    *,
    steps: int = 20,
    by: Literal["time", "count"] = "count",
    pool: Literal[1, 2, 4, 8, 16] = 4,
    values: Literal["counts", "spikes"] = "counts",
    remainder: Literal["drop", "last_frame"] = "drop",
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["copy"],
    *,
    length: int = 10,
    delay: int = 100,
    symbols: int = 8,
    sequences: int = 1280,
    held_out: int = 500,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["delayed_xor"],
    *,
    cue: int = 100,
    delay: int = 500,
    answer: int = 100,
    group: int = 10,
    sequences: int = 640,
    held_out: int = 250,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["digits"],
    *,
    steps: Literal[64, 8] = 64,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["dvsgesture"],
    *,
    steps: int = 20,
    by: Literal["time", "count"] = "count",
    pool: Literal[1, 2, 4, 8, 16] = 4,
    values: Literal["counts", "spikes"] = "counts",
    remainder: Literal["drop", "last_frame"] = "drop",
    part: Literal["full", "10"] = "full",
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["dvsgesture_official"],
    *,
    steps: int = 20,
    by: Literal["time", "count"] = "count",
    pool: Literal[1, 2, 4, 8, 16] = 4,
    values: Literal["counts", "spikes"] = "counts",
    remainder: Literal["drop", "last_frame"] = "drop",
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["evidence_accumulation"],
    *,
    cues: int = 7,
    cue: int = 100,
    gap: int = 50,
    delay: int = 1050,
    recall: int = 150,
    group: int = 10,
    loss_mean: Literal["all", "labelled"] = "all",
    accuracy_of: Literal["steps", "decisions"] = "steps",
    sequences: int = 640,
    held_out: int = 200,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["fashion_mnist"],
    *,
    steps: int = 20,
    code: Literal["values", "latency"] = "values",
    tau: float | None = None,
    threshold: float | None = None,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["fsdd"],
    *,
    steps: int = 100,
    bands: int = 40,
    form: Literal["frames", "spikes"] = "frames",
    delta: float | None = None,
    split: Literal["official", "speakers"] = "official",
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["fsdd_frames"],
    *,
    steps: Literal[25, 50, 100, 200] = 100,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["jsb_chorales"],
    *,
    steps: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["mimic"],
    *,
    steps: int = 10000,
    alpha: float = 1.0,
    units: int = 32,
    inputs: int = 32,
    outputs: int = 32,
    teacher: int = 0,
    sequences: int = 1,
    held_out: int = 1,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["mnist"],
    *,
    steps: int = 20,
    code: Literal["values", "latency"] = "values",
    tau: float | None = None,
    threshold: float | None = None,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["moving_shapes"],
    *,
    steps: int = 20,
    by: Literal["time", "count"] = "count",
    pool: Literal[1, 2, 4, 8, 16] = 4,
    values: Literal["counts", "spikes"] = "counts",
    remainder: Literal["drop", "last_frame"] = "drop",
    noise: float = 0.2,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["muse_data"],
    *,
    steps: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["nmnist"],
    *,
    steps: int = 20,
    by: Literal["time", "count"] = "time",
    pool: Literal[1, 2] = 1,
    values: Literal["counts", "spikes"] = "counts",
    remainder: Literal["drop", "last_frame"] = "drop",
    part: Literal["full", "1100"] | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["nottingham"],
    *,
    steps: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["npz"],
    *,
    path: str,
    label_at: Literal["last", "end"] | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["pattern_generation"],
    *,
    steps: int = 1000,
    inputs: int = 100,
    outputs: int = 1,
    pattern: int = 0,
    drop: float = 0.0,
    sequences: int = 1,
    held_out: int = 1,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["periodic_target"],
    *,
    steps: int = 100,
    noise: float = 0.0,
    sequences: int = 1,
    held_out: int = 1,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["piano_midi"],
    *,
    steps: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["psfashion_mnist"],
    *,
    permutation: int = 0,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["psmnist"],
    *,
    permutation: int = 0,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["qtdb"],
    *,
    unlabelled: Literal["masked", "class 0"] = "masked",
    steps: int = 1301,
    skip: int = 0,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["randman"],
    *,
    code: Literal["time", "rate"] = "time",
    steps: int = 50,
    classes: int = 10,
    units: int = 50,
    dimension: int = 3,
    smoothness: float = 1.0,
    manifolds: int = 0,
    sequences: int = 1280,
    held_out: int = 500,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["random_frames"],
    *,
    steps: int = 20,
    size: int = 32,
    classes: int = 11,
    rate: float = 0.1,
    sequences: int = 64,
    held_out: int = 16,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["rectangles"],
    *,
    size: int = 64,
    steps: int = 2,
    changes: Sequence[Literal["flip", "jitter", "colour", "mosaic"]] = (),
    smoothing: float = 0.0,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["rfashion_mnist"],
    *,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["rmnist"],
    *,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["sfashion_mnist"],
    *,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["shd"],
    *,
    steps: int = 250,
    bin_ms: float = 4.0,
    values: Literal["counts", "spikes"] = "spikes",
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["smnist"],
    *,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["smnist_pooled"],
    *,
    pool: Literal[2, 4, 7] = 2,
    permutation: int | None = None,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["ssc"],
    *,
    steps: int = 250,
    bin_ms: float = 4.0,
    values: Literal["counts", "spikes"] = "spikes",
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["store_recall"],
    *,
    symbols: int = 12,
    duration: int = 200,
    probability: float = 0.14285714285714285,
    rate: float = 50.0,
    group: int = 25,
    sequences: int = 1280,
    held_out: int = 128,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["torch"],
    *,
    train: str,
    test: str,
    validation: str | None = None,
    label_at: Literal["last", "end"] | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["ts"],
    *,
    path: str,
    label_at: Literal["last", "end"] | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["voc"],
    *,
    root: str,
    years: Sequence[str] | None = None,
    size: int = 416,
    steps: int = 8,
    changes: Sequence[Literal["flip", "jitter", "colour", "mosaic"]] = (),
    smoothing: float = 0.0,
    limit: Any | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: Literal["yin_yang"],
    *,
    steps: int = 60,
    code: Literal["latency", "values"] = "latency",
    window: int | None = None,
) -> Dataset: ...
@overload
def build_dataset(
    name: str,
) -> Dataset: ...
@overload
def build_network(
    name: Literal["adding_rnn"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (128,),
) -> Network: ...
@overload
def build_network(
    name: Literal["adding_snn"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (128,),
) -> Network: ...
@overload
def build_network(
    name: Literal["chaotic_rnn"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (50,),
    gain: float = 1.5,
) -> Network: ...
@overload
def build_network(
    name: Literal["conv_static"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: int = 256,
    width: float = 1.0,
) -> Network: ...
@overload
def build_network(
    name: Literal["dvs_cifar10_vgg"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: int = 512,
    width: float = 1.0,
    dropout: float = 0.1,
) -> Network: ...
@overload
def build_network(
    name: Literal["dvs_conv_v3"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: int = 512,
    width: float = 1.0,
    dropout: float = 0.1,
) -> Network: ...
@overload
def build_network(
    name: Literal["dvs_conv_v4"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: int = 512,
    width: float = 1.0,
    dropout: float = 0.1,
) -> Network: ...
@overload
def build_network(
    name: Literal["dvs_shallow"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: int = 512,
    dropout: float = 0.1,
) -> Network: ...
@overload
def build_network(
    name: Literal["ecg_rnn"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (36,),
) -> Network: ...
@overload
def build_network(
    name: Literal["ecg_spiking_readout"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (36,),
) -> Network: ...
@overload
def build_network(
    name: Literal["encoded"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    encoders: int = 32,
    encoder_tau: float = 20.0,
    encoder_surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any | None = None,
    hidden: Sequence[int] = (200,),
    gain: float = 3.0,
    recurrent_gain: float = 0.03,
    readout_tau: float = 20.0,
    readout_synapse: Any | None = None,
    readout_max: bool = False,
) -> Network: ...
@overload
def build_network(
    name: Literal["jsb_rnn"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (150,),
) -> Network: ...
@overload
def build_network(
    name: Literal["layered"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    layers: Sequence[Any],
    readouts: Sequence[Any] | None = None,
    weights: Literal["uniform", "glorot_uniform", "glorot_normal"] = "uniform",
) -> Network: ...
@overload
def build_network(
    name: Literal["nir"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    path: str,
    dt: float | None = None,
    scheme: Literal["exponential", "euler"] | None = None,
) -> Network: ...
@overload
def build_network(
    name: Literal["online_rnn"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (32,),
    reservoir: bool = False,
) -> Network: ...
@overload
def build_network(
    name: Literal["recurrent"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (64,),
    readout: Literal["spikes", "membrane"] = "spikes",
    readout_leak: Literal["constant", "trained", "gated"] = "constant",
    readout_tau: float | None = None,
    readout_synapse: Any | None = None,
    readout_max: bool = False,
    weights: Literal["separate", "joint", "hidden", "normal", "orthogonal"] = "separate",
    biases: bool = True,
    recurrent_weights: bool = True,
    recurrent_bias: bool = False,
    density: float = 1.0,
    self_connections: bool = True,
    norm_steps: int | None = None,
) -> Network: ...
@overload
def build_network(
    name: Literal["smnist_srnn"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (256,),
    steps: int = 784,
) -> Network: ...
@overload
def build_network(
    name: Literal["spytorch_mlp"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    hidden: Sequence[int] = (100,),
) -> Network: ...
@overload
def build_network(
    name: Literal["spyv4"],
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    *,
    width: float = 1.0,
    dropout: float = 0.1,
) -> Network: ...
@overload
def build_network(
    name: str,
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
) -> Network: ...
@overload
def build_rule(
    name: Literal["approximate_otpe"],
    *,
    decay: float | None = None,
    loss_at: Literal["end", "every"] = "every",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["bptt"],
    *,
    loss_at: Literal["end", "every"] = "end",
    weights: Literal["equal", "ramp"] = "equal",
    total: Literal["mean", "sum"] | None = None,
    auxiliary: Literal["off", "authors"] = "off",
    auxiliary_uniform_epochs: int | None = None,
    backward: Literal["once", "each_step"] = "once",
    rate_cost: float | None = None,
    rate_target: float | None = None,
    spike_penalties: Sequence[Any] | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["checkpointed_bptt"],
    *,
    loss_at: Literal["end", "every"] = "end",
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["decolle"],
    *,
    update_every: int | None = None,
    burn_in: int = 0,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["diagonal_rtrl"],
    *,
    loss_at: Literal["end", "every"] = "end",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["eprop"],
    *,
    loss_at: Literal["end", "every"] = "end",
    update_every: int | None = None,
    feedback: Literal["symmetric", "random", "adaptive"] = "symmetric",
    feedback_sd: float | None = None,
    feedback_decay: float | None = None,
    rate_cost: float | None = None,
    rate_target: float | None = None,
    rate_mean: Literal["sequence", "running", "sample"] | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["fptt"],
    *,
    parts: int | None = None,
    form: Literal["code", "paper", "none"] = "code",
    alpha: float | None = None,
    update_alpha: float | None = None,
    beta: float | None = None,
    rho: float | None = None,
    adopt_mean: bool | None = None,
    reset_lambda: bool | None = None,
    weights: Literal["ramp", "authors", "equal"] = "ramp",
    last_part: bool = True,
    auxiliary: Literal["off", "authors"] = "off",
    auxiliary_uniform_epochs: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["kf_rtrl"],
    *,
    loss_at: Literal["end", "every"] = "end",
    update_every: int | None = None,
    draws: int = 1,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["ostl"],
    *,
    with_H: bool = True,
    loss_at: Literal["end", "every"] = "end",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["otpe"],
    *,
    decay: float | None = None,
    loss_at: Literal["end", "every"] = "every",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["ottt"],
    *,
    decay: float | None = None,
    loss_at: Literal["end", "every"] = "every",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["penalised"],
    *,
    rule: str,
    spike_penalties: Sequence[Any],
    options: dict[str, Any] | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["pp_prop"],
    *,
    decay: float = 0.9,
    loss_at: Literal["end", "every"] = "every",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["presynaptic_trace"],
    *,
    decay: float | None = None,
    loss_at: Literal["end", "every"] = "every",
    update_every: int | None = None,
    sampled_steps: int | None = None,
    unbiased: bool = False,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["recurrent_traces"],
    *,
    decay: float | None = None,
    loss_at: Literal["end", "every"] = "every",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["rflo"],
    *,
    loss_at: Literal["end", "every"] = "every",
    update_every: int | None = None,
    feedback_sd: float | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["rolling_tbptt"],
    *,
    window: int = 10,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["rtrl"],
    *,
    loss_at: Literal["end", "every"] = "end",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["s_tllr"],
    *,
    decay: float | None = 0.75,
    post_decay: float = 0.2,
    causal: float = 1.0,
    noncausal: float = -1.0,
    loss_at: Literal["end", "every"] = "every",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["sltt"],
    *,
    loss_at: Literal["end", "every"] = "every",
    update_every: int | None = None,
    sampled_steps: int | None = None,
    unbiased: bool = False,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["snap1"],
    *,
    loss_at: Literal["end", "every"] = "end",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["snap_n"],
    *,
    n: int = 2,
    loss_at: Literal["end", "every"] = "end",
    update_every: int | None = None,
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["tbptt"],
    *,
    window: int = 10,
    loss_at: Literal["end", "every"] = "end",
    weights: Literal["equal", "ramp"] = "equal",
) -> LearningRule: ...
@overload
def build_rule(
    name: Literal["uoro"],
    *,
    loss_at: Literal["end", "every"] = "end",
    update_every: int | None = None,
    draws: int = 1,
) -> LearningRule: ...
@overload
def build_rule(
    name: str,
) -> LearningRule: ...
@overload
def neuron_type(
    name: Literal["adlif"],
    *,
    tau_min: float = 5.0,
    tau_max: float = 25.0,
    tau_adaptation_min: float = 60.0,
    tau_adaptation_max: float = 300.0,
    strength: float = 120.0,
    threshold: float = 1.0,
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "exponential",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["alif"],
    *,
    tau: float = 20.0,
    tau_max: float | None = None,
    tau_adaptation: float = 200.0,
    threshold: float = 0.1,
    beta: float = 1.8,
    adaptive: float = 1.0,
    input_gain: Literal["leak", "unit"] = "leak",
    refractory: int = 0,
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "triangle",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["asrnn"],
    *,
    decay: Literal["exponential", "exponential_magnitude", "logistic"] = "exponential",
    tau_mean: float = 20.0,
    tau_sd: float = 5.0,
    tau_adaptation_mean: float = 200.0,
    tau_adaptation_sd: float = 25.0,
    b0: float = 0.01,
    beta: float = 1.8,
    resistance: float = 1.0,
    reset: Literal["next_step", "same_step"] = "next_step",
    reset_gradient: bool = True,
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "wide_multi_gaussian",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["asrnn_adding"],
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["brf"],
    *,
    omega_min: float = 5.0,
    omega_max: float = 10.0,
    damping_min: float = 0.0,
    damping_max: float = 3.0,
    dt: float = 0.01,
    threshold: float = 1.0,
    refractory_decay: float = 0.9,
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "double_gaussian",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["cuba"],
    *,
    tau: float = 10.0,
    tau_max: float | None = None,
    tau_synapse: float = 5.0,
    threshold: float = 1.0,
    input_gain: Literal["leak", "unit"] = "leak",
    delay: Literal[0, 1] = 0,
    reset: Literal["zero", "subtract", "zero_with_input"] = "zero",
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "fast_sigmoid",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["elstm"],
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["glif"],
    *,
    parameters: Literal["neuron", "layer"] = "neuron",
    decay: float = 0.25,
    leak: float = 0.0625,
    conductance: float = 0.5,
    reset: float = 0.5,
    threshold: float = 0.5,
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "arctan",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["gru"],
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["izhikevich"],
    *,
    a: float = 0.02,
    b: float = 0.2,
    c: float = -65.0,
    d: float = 8.0,
    gain: float = 10.0,
    width: float = 30.0,
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "arctan",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["leaky_tanh"],
    *,
    alpha: float = 0.1,
    initial: float = 0.0,
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["lif"],
    *,
    tau: float = 20.0,
    tau_max: float | None = None,
    threshold: float = 0.1,
    input_gain: Literal["leak", "unit"] = "leak",
    reset: Literal["subtract", "zero"] = "subtract",
    refractory: int = 0,
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "triangle",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["lru"],
    *,
    r_min: float = 0.0,
    r_max: float = 1.0,
    phase_max: float = 6.283185307179586,
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["lstm"],
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["ltc"],
    *,
    gate_input: Literal["concatenated", "summed", "current", "state", "none"] = "concatenated",
    adaptation: Literal["gated", "gated_by_current", "gated_by_state", "constant", "off", "unused"] = "gated",
    b0: float = 0.1,
    beta: float | None = None,
    slope: Literal["fixed", "trained"] = "fixed",
    tau: float | None = None,
    tau_max: float | None = None,
    reset_gradient: bool = True,
    initial: Literal["zero", "random", "random_membrane"] = "zero",
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "multi_gaussian",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["ltc_adding"],
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["ltc_smnist"],
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["plif"],
    *,
    tau: float = 2.0,
    threshold: float = 1.0,
    reset_gradient: bool = False,
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "arctan",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["rf"],
    *,
    omega_min: float = 5.0,
    omega_max: float = 10.0,
    damping_min: float = 0.0,
    damping_max: float = 3.0,
    dt: float = 0.01,
    threshold: float = 1.0,
    surrogate: Literal["multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"] | Any = "double_gaussian",
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["rnn"],
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: Literal["ssnu"],
    *,
    decay: float = 0.4,
    bias: float = 1.0,
) -> Callable[..., Neuron]: ...
@overload
def neuron_type(
    name: str,
) -> Callable[..., Neuron]: ...
