"""Workloads and implementations as data. This module imports no large library, because the command line uses it."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, NamedTuple

from throughtime.errors import UsageError, refuse_unknown, suggestion

Does = Literal[
    "train", "forward", "evaluate", "stored", "eprop", "pp_prop", "snap1", "uoro", "ottt", "sltt", "fptt", "adding"
]
"""Computation of one measurement:

- train: BPTT on a batch: forward, cross-entropy at every step, backward, one step of Adam;
- forward: the forward pass with a graph; evaluate: the forward pass without a graph;
- stored: the exact bytes that the forward pass leaves alive for the backward pass, instead of a time;
- eprop: e-prop on a batch with the loss of `train`, one step of Adam;
- pp_prop, snap1, uoro, ottt, sltt: the same by pp-prop, SnAp-1, UORO, OTTT or SLTT;
- fptt: the first steps of FPTT on a sequence, each with an update: auxiliary loss, regulariser, clipping, Adamax;
- adding: FPTT on parts of the sequence, a clipped step of Adam after each part but the last.
"""


NeuronName = Literal["lif", "alif", "ltc_smnist", "ltc_adding"]


class Workload(NamedTuple):
    """A computation that all implementations do with the same weights and data."""

    name: str
    does: Does
    neuron: NeuronName
    steps: int
    inputs: int
    hidden: int
    batch: int
    timed_steps: int | None = None
    """Only for fptt: number of first steps of a sequence in one measurement; the time is reported per step."""
    parts: int | None = None
    """Only for adding: K, the number of parts."""
    drive: float = 1.0
    """Factor of the input, which is drawn from N(0, 1): it sets how active the neurons are."""

    @property
    def pair(self) -> tuple[Does, NeuronName]:
        """Computation and neuron."""
        return self.does, self.neuron

    @property
    def whole(self) -> Workload:
        """The workload without a name whose answer contains that of this one: training does the forward pass."""
        return self._replace(name="", does="train" if self.does in UNROLLED else self.does)

    @property
    def unit(self) -> str:
        if self.does == "stored":
            return "byte"
        return "second a step" if self.timed_steps else "second a batch"

    @property
    def about(self) -> str:
        """Description such as `lif, T=100, in 40, H=128, batch 64`."""
        more = f", K={self.parts}" if self.parts else ""
        more += f", input times {self.drive:g}" if self.drive != 1 else ""
        return f"{self.neuron}, T={self.steps}, in {self.inputs}, H={self.hidden}, batch {self.batch}{more}"


SIZES: dict[str, tuple[NeuronName, int, int, int, int]] = {
    "lif-h128-t100": ("lif", 100, 40, 128, 64),
    "lif-h512-t100": ("lif", 100, 40, 512, 64),
    "lif-h128-t784": ("lif", 784, 1, 128, 64),
    "lif-h512-t784": ("lif", 784, 1, 512, 64),
    "alif-h128-t100": ("alif", 100, 40, 128, 64),
}
WORKLOADS = {
    work.name: work
    for work in (
        *(Workload(f"train-{name}", "train", *size) for name, size in SIZES.items()),
        *(Workload(f"forward-{name}", "forward", *size) for name, size in SIZES.items()),
        *(Workload(f"evaluate-{name}", "evaluate", *size) for name, size in SIZES.items()),
        Workload("train-lif-h128-t100-busy", "train", *SIZES["lif-h128-t100"], drive=8.0),
        Workload("stored-lif-h128-t800", "stored", "lif", 800, 40, 128, 64),
        Workload("eprop-lif-h128-t100", "eprop", "lif", 100, 40, 128, 64),
        Workload("eprop-alif-h128-t100", "eprop", "alif", 100, 40, 128, 64),
        Workload("pp-prop-lif-h128-t100", "pp_prop", "lif", 100, 40, 128, 64),
        Workload("pp-prop-alif-h128-t100", "pp_prop", "alif", 100, 40, 128, 64),
        Workload("snap1-lif-h128-t100", "snap1", "lif", 100, 40, 128, 64),
        Workload("snap1-alif-h128-t100", "snap1", "alif", 100, 40, 128, 64),
        Workload("uoro-lif-h128-t100", "uoro", "lif", 100, 40, 128, 64),
        Workload("uoro-alif-h128-t100", "uoro", "alif", 100, 40, 128, 64),
        Workload("ottt-lif-h128-t100", "ottt", "lif", 100, 40, 128, 64),
        Workload("sltt-lif-h128-t100", "sltt", "lif", 100, 40, 128, 64),
        Workload("fptt-smnist-b128", "fptt", "ltc_smnist", 784, 1, 256, 128, timed_steps=28),
        Workload("fptt-smnist-b512", "fptt", "ltc_smnist", 784, 1, 256, 512, timed_steps=28),
        # With inputs of the task's size hardly any neuron spikes, and the comparison would not cover the reset.
        Workload("adding-k10", "adding", "ltc_adding", 200, 2, 128, 128, parts=10, drive=8.0),
    )
}
UNROLLED: tuple[Does, ...] = ("train", "forward", "evaluate", "stored")


class Peer(NamedTuple):
    """An implementation and the workloads that it supports."""

    kind: Literal["ours", "library", "plain", "other"]
    """`library`: a library of spiking networks, run eagerly; `plain`: PyTorch code of this project; `other`: compiled,
    or a network without spikes."""
    module: str
    """A module of throughtime.peers.implementations; its `build`, or the function after a colon, returns the job."""
    does: tuple[Does, ...]
    neurons: tuple[str, ...]
    needs: tuple[str, ...] = ()
    """Distributions that the implementation requires."""
    no_pair: Mapping[tuple[Does, str], str] = {}
    """Reason, by computation and neuron, why its answers differ from ours; all others must agree."""
    first_update: str | None = None
    """Reason why only its first update must agree with ours; None: all updates must agree."""
    precision: Literal["float64", "float32"] = "float64"
    """Precision in which the answers are compared."""


ALL = tuple(dict.fromkeys(work.does for work in WORKLOADS.values()))
PEERS = {
    "ours": Peer("ours", "ours", ALL, ("lif", "alif", "ltc_smnist", "ltc_adding")),
    "plain-loop": Peer("plain", "plain_loop", UNROLLED, ("lif", "alif")),
    "snntorch": Peer("library", "snntorch_rleaky", UNROLLED, ("lif",), ("snntorch",)),
    "norse": Peer("library", "norse_lif_box", UNROLLED, ("lif",), ("norse",)),
    "spikingjelly": Peer("library", "spikingjelly_lif", UNROLLED, ("lif",), ("spikingjelly",)),
    "jax-scan": Peer("other", "jax_scan", ("train", "forward", "evaluate"), ("lif", "alif"), ("jax",)),
    "braintrace-eprop": Peer("other", "braintrace_online:eprop", ("eprop",), ("lif", "alif"), ("braintrace", "jax")),
    "braintrace-d-rtrl": Peer("other", "braintrace_online:d_rtrl", ("eprop",), ("lif", "alif"), ("braintrace", "jax")),
    "braintrace-pp-prop": Peer(
        "other",
        "braintrace_online:pp_prop",
        ("eprop", "pp_prop"),
        ("lif", "alif"),
        ("braintrace", "jax"),
        no_pair={("eprop", "alif"): "another gradient: leaves out what adaptation remembers"},
    ),
    "braintrace-snap1": Peer("other", "braintrace_online:snap1", ("snap1",), ("lif", "alif"), ("braintrace", "jax")),
    "braintrace-uoro": Peer(
        "other",
        "braintrace_uoro:BrainTraceUORO",
        ("uoro",),
        ("lif", "alif"),
        ("braintrace", "jax"),
        no_pair={("uoro", neuron): "other random signs: equal in the mean over them" for neuron in ("lif", "alif")},
    ),
    "spikingjelly-ottt": Peer("library", "spikingjelly_online:ottt", ("ottt",), ("lif",), ("spikingjelly",)),
    "spikingjelly-sltt": Peer("library", "spikingjelly_online:sltt", ("sltt",), ("lif",), ("spikingjelly",)),
    "authors-form": Peer("plain", "authors_form", ("fptt", "adding"), ("ltc_smnist", "ltc_adding")),
    "spikingjelly-fptt": Peer(
        "library",
        "spikingjelly_fptt",
        ("fptt",),
        ("ltc_smnist",),
        ("spikingjelly",),
        first_update="the paper's form, ours at the first update only",
    ),
    "torch-rnn": Peer(
        "other",
        "torch_rnn",
        UNROLLED,
        ("lif",),
        no_pair={(does, "lif"): "no spikes: what a fused loop costs" for does in UNROLLED},
    ),
}


def chosen(patterns: Sequence[str]) -> list[Workload]:
    """Return the workloads with these names or shell patterns; all workloads if there is no pattern."""
    names = [name for name in WORKLOADS if not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError(f'no workload "{pattern}"', hint=suggestion(pattern, WORKLOADS))
    return [WORKLOADS[name] for name in names]


def entrants(work: Workload, names: Sequence[str]) -> list[str]:
    """Return the implementations that support a workload: those in `names`, or all; always ours, as the reference."""
    for name in names:
        refuse_unknown("implementation", name, PEERS, "--implementation")
    able = [name for name, peer in PEERS.items() if work.does in peer.does and work.neuron in peer.neurons]
    return [name for name in able if not names or name in (*names, "ours")]


def missing(peer: Peer) -> str | None:
    """Return the name of a requirement that is not installed; None if all are installed."""
    for distribution in peer.needs:
        try:
            version(distribution)
        except PackageNotFoundError:
            return f"{distribution} is not installed"
    return None
