"""What is measured and who takes part, as data. Imports nothing heavy: the command line names them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, NamedTuple

from throughtime.errors import UsageError, suggestion

Does = Literal["train", "forward", "evaluate", "stored", "eprop", "fptt", "adding"]
"""What is done once:

- train: a batch learnt by BPTT: forward, cross-entropy at every step, backward, one step of Adam;
- forward: its forward pass, with all that a backward pass needs; evaluate: the same outputs without a gradient;
- stored: not a time but the exact bytes that the forward pass leaves alive for the backward pass;
- eprop: a batch learnt by e-prop, the loss of `train`, one step of Adam;
- fptt: FPTT's first steps of a sequence, an update at each: auxiliary loss, regulariser, clip, Adamax;
- adding: FPTT in parts of the sequence, a clipped step of Adam after each but the last.
"""


class Workload(NamedTuple):
    """One thing that all do the same, with the same weights and data."""

    name: str
    does: Does
    neuron: Literal["lif", "alif", "ltc_smnist", "ltc_adding"]
    steps: int
    inputs: int
    hidden: int
    batch: int
    timed_steps: int | None = None
    """Of fptt: so many steps from the start of a sequence are done at once, and the time is given a step."""
    parts: int | None = None
    """Of adding: K."""
    drive: float = 1.0
    """What the input, N(0, 1), is multiplied by: how busy the neurons are."""

    @property
    def unit(self) -> str:
        if self.does == "stored":
            return "byte"
        return "second a step" if self.timed_steps else "second a batch"

    @property
    def about(self) -> str:
        """`lif, T=100, in 40, H=128, batch 64`."""
        more = f", K={self.parts}" if self.parts else ""
        more += f", input times {self.drive:g}" if self.drive != 1 else ""
        return f"{self.neuron}, T={self.steps}, in {self.inputs}, H={self.hidden}, batch {self.batch}{more}"


SIZES = {
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
        Workload("fptt-smnist-b128", "fptt", "ltc_smnist", 784, 1, 256, 128, timed_steps=28),
        Workload("fptt-smnist-b512", "fptt", "ltc_smnist", 784, 1, 256, 512, timed_steps=28),
        # On the task's own numbers hardly any neuron spikes, and the reset would not be compared.
        Workload("adding-k10", "adding", "ltc_adding", 200, 2, 128, 128, parts=10, drive=8.0),
    )
}
UNROLLED = ("train", "forward", "evaluate", "stored")


class Peer(NamedTuple):
    """An implementation, and what it is asked to do."""

    kind: Literal["ours", "library", "plain", "other"]
    """`library`: of spiking networks, run eagerly; `plain`: written here in PyTorch; `other`: compiled or spikeless."""
    module: str
    """A module of throughtime.peers.implementations; its `build`, or the function after a colon, makes the job."""
    does: tuple[Does, ...]
    neurons: tuple[str, ...]
    needs: tuple[str, ...] = ()
    """Distributions that must be installed."""
    no_pair: Mapping[str, str] = {}
    """Why its answers cannot be ours, by neuron; where it is not named they must be."""
    first_update: str | None = None
    """Why only its first update must be ours; None: all must."""
    precision: Literal["float64", "float32"] = "float64"
    """In which answers are compared."""


ALL = tuple(dict.fromkeys(work.does for work in WORKLOADS.values()))
PEERS = {
    "ours": Peer("ours", "ours", ALL, ("lif", "alif", "ltc_smnist", "ltc_adding")),
    "plain-loop": Peer("plain", "plain_loop", UNROLLED, ("lif", "alif")),
    "snntorch": Peer("library", "snntorch_rleaky", UNROLLED, ("lif",), ("snntorch",)),
    "norse": Peer("library", "norse_lif_box", UNROLLED, ("lif",), ("norse",)),
    "spikingjelly": Peer("library", "spikingjelly_lif", UNROLLED, ("lif",), ("spikingjelly",)),
    "jax-scan": Peer("other", "jax_scan", ("train", "forward", "evaluate"), ("lif", "alif"), ("jax",)),
    "braintrace-eprop": Peer("other", "braintrace_online:eprop", ("eprop",), ("lif", "alif"), ("braintrace", "jax")),
    "braintrace-pp-prop": Peer(
        "other",
        "braintrace_online:pp_prop",
        ("eprop",),
        ("lif", "alif"),
        ("braintrace", "jax"),
        no_pair={"alif": "another gradient: leaves out what adaptation remembers"},
    ),
    "authors-form": Peer("plain", "authors_form", ("fptt", "adding"), ("ltc_smnist", "ltc_adding")),
    "spikingjelly-fptt": Peer(
        "library",
        "spikingjelly_fptt",
        ("fptt",),
        ("ltc_smnist",),
        ("spikingjelly",),
        first_update="the paper's form, ours at the first update only",
    ),
    "torch-rnn": Peer("other", "torch_rnn", UNROLLED, ("lif",), no_pair={"lif": "no spikes: what a fused loop costs"}),
}


def chosen(patterns: list[str]) -> list[Workload]:
    """The works of these names or shell patterns, all if there are none."""
    names = [name for name in WORKLOADS if not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError(f'no work "{pattern}"', hint=suggestion(pattern, WORKLOADS))
    return [WORKLOADS[name] for name in names]


def entrants(work: Workload, names: list[str]) -> list[str]:
    """Who does this work, of those named, or of all; ours always, for the others are held to it."""
    for name in names:
        if name not in PEERS:
            raise UsageError(f'no implementation "{name}"', where="--implementation", hint=suggestion(name, PEERS))
    able = [name for name, peer in PEERS.items() if work.does in peer.does and work.neuron in peer.neurons]
    return [name for name in able if not names or name in (*names, "ours")]


def missing(peer: Peer) -> str | None:
    """What is not installed; None if all is there."""
    for distribution in peer.needs:
        try:
            version(distribution)
        except PackageNotFoundError:
            return f"{distribution} is not installed"
    return None
