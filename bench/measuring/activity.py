"""Activity: how often neurons spike, and how many synaptic operations a network takes, by NeuroBench's definitions.

A *synaptic operation* is one input of a map (W x, R z, a gate, the readout) times one weight, added to one output:

    dense             every pair of an input and a weight
    effective         those of which neither is zero; of them
      effective ACs   where the input is −1, 0 or 1 throughout, so that adding is enough
      effective MACs  where it is not

each a sequence: summed over its time steps, and the mean taken over the sequences of the split. Biases, normalisation
and what a neuron does by itself are no synaptic operations. An input that is zero costs nothing, be it a spike or not.

Operations are counted where they happen: a product of which one side is a parameter or buffer of the network, or a
view of one, is a map, whether a module or a function takes it, of a step or of a whole window. Not seen: a map written
as an elementwise product and a sum.

Where this differs from the package `neurobench` (2.3.0; tests/peers/test_activity.py holds both together):

- It calls an operation AC or MAC for all that one call of a layer sees: one value other than −1, 0, 1 in a batch makes
  MACs of the batch. So its numbers depend on the size of batches. Here each row is looked at by itself, a step of one
  sequence: the package's numbers at batch size 1. MACs and ACs together are the same at any size.
- It sums in float32, which rounds above 2²⁴ operations a call. Here the sums are exact.
- Its sparsity is the mean over batches of their sparsities, by the number of their sequences: the same number where
  all sequences are of the same length, as ours are.
- It sees layers by their calls, and nothing of a weight that is used without its layer's call.
- What it cannot count it reports as 0 (nn.LSTM, nn.RNN, nn.GRU); here that is counted map by map, or null with a
  reason. Of nn.LSTMCell it counts the products of gates and state as well, calls R h ACs wherever x is ternary, and
  leaves states that are zero out of the dense count.

Source: Yik et al., The NeuroBench framework for benchmarking neuromorphic computing algorithms and systems, 2025.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from throughtime.datasets.base import Dataset, Split
from throughtime.harness.batches import EVALUATION_WINDOW
from throughtime.networks.base import Network
from throughtime.records.record import Measure

_ATEN = torch.ops.aten

# Matrix products, and where among the arguments their two sides stand.
_PRODUCTS = {
    _ATEN.mm: (0, 1),
    _ATEN.bmm: (0, 1),
    _ATEN.mv: (0, 1),
    _ATEN.dot: (0, 1),
    _ATEN.addmm: (1, 2),
    _ATEN.baddbmm: (1, 2),
    _ATEN.addmv: (1, 2),
}

_KINDS = {
    "dense": "pairs of an input and a weight of a map, zeros included, biases not",
    "effective_macs": "pairs of an input and a weight, neither 0, where a step's input has a value not in -1, 0, 1",
    "effective_acs": "pairs of an input and a weight, neither 0, where a step's input has values in -1, 0, 1 alone",
}


def measure(network: Network, dataset: Dataset, split: Split = "test") -> dict[str, Measure]:
    """Firing rate of each layer, activation sparsity and synaptic operations, over a whole split.

    The network runs as in `training.evaluate`, in batches and windows of the same sizes; its mode and the random
    numbers that follow are left as they were. Cost: 1.5 to 3 times an evaluation, the more the smaller the layers;
    memory does not grow with T.

    Returns:
        `firing_rate.layer1`, ..., by the layers' names: null where nothing spikes. `activation_sparsity`: the part of
        the layers' outputs that is exactly 0. `synaptic_operations.dense`, `.effective_macs`, `.effective_acs`: null
        where the network multiplies in a way that cannot be counted.
    """
    training, operations = network.training, SynapticOperations(network)
    active: Counter[int] = Counter()
    sent: Counter[int] = Counter()
    sequences = steps = 0
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for batch in dataset.batches(split, dataset.evaluation_batch):
                sequences, steps = sequences + batch.sequences, batch.steps
                state = network.initial_state(batch.sequences)
                for t in range(0, steps, EVALUATION_WINDOW):
                    with operations:
                        window = network.unroll(batch.window(t, EVALUATION_WINDOW).x, state)
                    state = window.state
                    for number, z in enumerate(window.spikes, 1):
                        active[number] += int(z.count_nonzero())
                        sent[number] += z.numel()
    finally:
        network.train(training)

    where = f"the {split} split ({sequences} sequences of {steps} steps)"
    layers = {number: (f"layer{number}", network.spiking) for number in sent}
    if network.described:
        layers = {n: (layer.name, layer.neuron.spiking) for n, layer in enumerate(network.layers, 1)}
    measures = {
        f"firing_rate.{name}": Measure(
            value=active[number] / sent[number] if spiking else None,
            unit="spikes per neuron and step",
            method=f"mean over {where}",
            missing=None if spiking else "these cells do not spike",
        )
        for number, (name, spiking) in layers.items()
    }
    measures["activation_sparsity"] = Measure(
        value=1 - active.total() / sent.total(),
        unit="fraction",
        method=f"zeros among all that layers send, over {where} and all layers; NeuroBench's",
    )
    for kind, what in _KINDS.items():
        measures[f"synaptic_operations.{kind}"] = Measure(
            value=None if operations.uncounted else operations.total(kind) / sequences,
            unit="operations a sequence",
            method=f"{what}; mean over {where}; NeuroBench's at batch size 1",
            missing=operations.uncounted,
        )
    return measures


class SynapticOperations(TorchDispatchMode):
    """Counts the synaptic operations of a network in a `with` block, of which backward passes must be no part.

    Weights must not change from the first block on. It costs some microseconds an operation: time nothing under it.

    Attributes:
        of: of each weight, by its name in the network, `dense`, `effective_macs` and `effective_acs`.
        uncounted: why the counts are too small, if they are: the first product of which it cannot be told which side
            is the weight, or operation that takes a weight and is not known here.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.of: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_KINDS, 0))
        self.uncounted: str | None = None
        # Parameters outlive the count, so that no other tensor can have one's address.
        self._named = {
            tensor.data_ptr(): (tensor.data_ptr() + _extent(tensor), name)
            for name, tensor in (*network.named_buffers(), *network.named_parameters())
            if tensor.numel()
        }
        self._begins = sorted(self._named)
        self._fan_outs: dict[tuple[Any, ...], Tensor] = {}

    def total(self, kind: str) -> int:
        """Operations of a kind, over all weights."""
        return sum(counts[kind] for counts in self.of.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket in _PRODUCTS:
            first, second = (args[place] for place in _PRODUCTS[func.overloadpacket])
            self._product(func, first, second)
        elif func.overloadpacket is _ATEN.convolution:
            self._convolution(func, *args)
        elif torch.Tag.pointwise not in func.tags and self._mixes(_tensors((args, kwargs))):
            self._cannot(f"{func} takes a weight of the network, and its operations cannot be counted")
        return func(*args, **kwargs)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # if True, the first operation would import the compiler: a second, and much memory

    def _cannot(self, reason: str) -> None:
        self.uncounted = self.uncounted or reason

    def _name(self, tensor: Tensor) -> str | None:
        """Of the parameter whose memory the tensor begins in: several may lie in one storage."""
        place = bisect_right(self._begins, tensor.data_ptr())
        end, name = self._named[self._begins[place - 1]] if place else (0, None)
        return name if tensor.data_ptr() < end else None

    def _mixes(self, tensors: Iterator[Tensor]) -> bool:
        """Whether there is a matrix of weights among them, and also numbers that are no weights."""
        matrix = other = False
        for tensor in tensors:
            if self._name(tensor) is None:
                other |= tensor.is_floating_point()
            else:
                matrix |= tensor.ndim > 1
        return matrix and other

    def _product(self, func: Any, first: Tensor, second: Tensor) -> None:
        name, other = self._name(second), self._name(first)
        weight = name or other
        if weight is None or (name is not None and other is not None):
            whose = "neither is a parameter" if weight is None else "both are parameters"
            self._cannot(f"of the two sides of a product ({func}) {whose}: which is the weight cannot be told")
            return
        x = first if first.ndim > 1 else first.unsqueeze(0)
        W = second if second.ndim > 1 else second.unsqueeze(-1)
        if name is None:  # W x with columns of x, not x W with rows
            x, W = W.mT, x.mT
        # In floating point, where torch is up to ten times faster than with Booleans, and exact: below 2^24 rows.
        magnitude = x.abs()
        nonzero = magnitude.sign()
        counting = torch.float32 if x.shape[-2] < 2**24 else torch.float64
        ternary = ((magnitude - nonzero).abs_().amax(-1) == 0).to(counting)
        often = torch.stack((1 - ternary, ternary), -2) @ nonzero.to(counting)  # of each input, [..., 2, inputs]
        effective = often.double() @ self._fan_out(W).unsqueeze(-1)
        self._add(weight, x.numel() * W.shape[-1], effective.reshape(-1, 2).sum(0))

    def _fan_out(self, W: Tensor) -> Tensor:
        """Weights of each input that are not zero, [..., inputs]."""
        key = (W.data_ptr(), W.shape, W.stride())
        if key not in self._fan_outs:
            self._fan_outs[key] = W.count_nonzero(-1).double()
        return self._fan_outs[key]

    def _convolution(self, func: Any, x: Tensor, W: Tensor, bias: Tensor | None, *shape: Any) -> None:
        name = self._name(W)
        if name is None:
            self._cannot(f"the kernel of a convolution ({func}) is no parameter")
            return
        nonzero = x != 0
        ternary = (nonzero == (x.abs() == 1)).flatten(1).all(1)
        effective = _ATEN.convolution(nonzero.to(x.dtype), (W != 0).to(x.dtype), None, *shape)
        effective = effective.flatten(1).sum(1, dtype=torch.float64)
        dense = _ATEN.convolution(torch.ones_like(x[:1]), torch.ones_like(W), None, *shape)
        self._add(
            name,
            len(x) * int(dense.sum(dtype=torch.float64)),
            torch.stack((effective[~ternary].sum(), effective[ternary].sum())),
        )

    def _add(self, name: str, dense: int, effective: Tensor) -> None:
        for kind, count in zip(_KINDS, (dense, *effective.tolist()), strict=True):
            self.of[name][kind] += int(count)


def _extent(tensor: Tensor) -> int:
    """Bytes from its first number to the end of its last."""
    steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (1 + steps) * tensor.itemsize


def _tensors(values: Any) -> Iterator[Tensor]:
    """Every tensor among the arguments of an operation."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(tuple(values.values()))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _tensors(value)
