"""Activity: firing rates and synaptic operations of a network, by NeuroBench's definitions.

A *synaptic operation* multiplies one input of a map (W x, R z, a gate, the readout) by one weight, and adds the result
to one output:

    dense             all pairs of an input and a weight
    effective         pairs in which neither is zero; of these
      effective ACs   the pairs of inputs whose values are all −1, 0 or 1, so that addition suffices
      effective MACs  the other pairs

Each number is the sum over the time steps of a sequence, averaged over the sequences of the split. Biases,
normalisation and the neurons' own equations are not synaptic operations. An input of zero costs nothing, whether it is
a spike or not.

A dispatch mode counts the operations. A matrix product in which one side is a parameter or buffer of the network, or a
view of one, is a map, in modules and in functions, for a step and for a whole window. The mode does not recognise a map
that is written as an elementwise product and a sum.

Differences from the package `neurobench` (2.3.0; tests/peers/test_activity.py compares the two):

- The package decides between AC and MAC for a whole call of a layer: one value other than −1, 0, 1 in a batch turns all
  its operations into MACs, so its numbers depend on the batch size. This module decides for each row, a step of one
  sequence: the package's numbers at batch size 1. The sum of MACs and ACs does not depend on the batch size.
- The package sums in float32, which rounds above 2²⁴ operations per call. The sums here are exact.
- The package's sparsity is the mean of the batches' sparsities, weighted by their numbers of sequences: the same number
  if all sequences have the same length, as here.
- The package observes calls of layers, and misses a weight that is used without a call of its layer.
- The package reports 0 for what it cannot count (nn.LSTM, nn.RNN, nn.GRU); this module counts each map, or reports null
  with a reason. For nn.LSTMCell the package also counts the products of gates and state, counts R h as ACs whenever x
  is ternary, and omits states that are zero from the dense count.

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
from throughtime.harness.batches import evaluating, unrolled
from throughtime.networks.base import Network
from throughtime.records.record import Measure

_ATEN = torch.ops.aten

# Matrix products, and the positions of their two sides among the arguments.
_PRODUCTS = {
    _ATEN.mm: (0, 1),
    _ATEN.bmm: (0, 1),
    _ATEN.mv: (0, 1),
    _ATEN.dot: (0, 1),
    _ATEN.addmm: (1, 2),
    _ATEN.baddbmm: (1, 2),
    _ATEN.addmv: (1, 2),
}

NO_SPIKES, NO_LAYERS = "these cells do not spike", "the network returns no outputs of its layers"
"""Reasons of missing values."""
_KINDS = {
    "dense": "pairs of an input and a weight of a map, including zeros, without biases",
    "effective_macs": "pairs of an input and a weight, neither 0, in steps whose input has a value other than -1, 0, 1",
    "effective_acs": "pairs of an input and a weight, neither 0, in steps whose input has only the values -1, 0, 1",
}


def measure(network: Network, dataset: Dataset, split: Split = "test") -> dict[str, Measure]:
    """Measure firing rates, activation sparsity and synaptic operations over a whole split.

    The network runs as in an evaluation, with the same sizes of batches and windows; its mode and the state of the
    random number generators are restored. Cost: 1.5 to 3 times an evaluation, more for small layers; memory does not
    grow with T.

    Returns:
        `firing_rate.layer1`, ..., by the layers' names; null for cells that do not spike. `activation_sparsity`: the
        fraction of the layers' outputs that is exactly 0. `synaptic_operations.dense`, `.effective_macs`,
        `.effective_acs`; null if the network has products that cannot be counted.
    """
    operations = SynapticOperations(network)
    active: Counter[int] = Counter()
    sent: Counter[int] = Counter()
    sequences = steps = 0
    with evaluating(network):
        for batch in dataset.batches(split, dataset.evaluation_batch):
            sequences, steps = sequences + batch.sequences, batch.steps
            for _, window, _ in unrolled(network, batch, operations):
                for number, z in enumerate(window.spikes, 1):
                    active[number] += int(z.count_nonzero())
                    sent[number] += z.numel()
    where = f"the {split} split ({sequences} sequences of {steps} steps)"
    measures = _firing_rates(network, active, sent, where)
    measures["activation_sparsity"] = Measure(
        value=1 - active.total() / sent.total() if sent else None,
        unit="fraction",
        method=f"fraction of zeros in the layers' outputs, over {where} and all layers; NeuroBench's",
        missing=None if sent else NO_LAYERS,
    )
    for kind, definition in _KINDS.items():
        measures[f"synaptic_operations.{kind}"] = Measure(
            value=None if operations.uncounted else operations.total(kind) / sequences,
            unit="operations a sequence",
            method=f"{definition}; mean over {where}; NeuroBench's at batch size 1",
            missing=operations.uncounted,
        )
    return measures


def _firing_rates(network: Network, active: Counter[int], sent: Counter[int], where: str) -> dict[str, Measure]:
    """Return the firing rate of each layer, from its nonzero outputs and all its outputs, by the layer's number."""
    layers = {number: (f"layer{number}", network.spiking) for number in sent}
    if network.described:
        layers = {n: (layer.name, layer.neuron.spiking) for n, layer in enumerate(network.layers, 1)}
    return {
        f"firing_rate.{name}": Measure(
            value=active[number] / sent[number] if spiking else None,
            unit="spikes per neuron and step",
            method=f"mean over {where}",
            missing=None if spiking else NO_SPIKES,
        )
        for number, (name, spiking) in layers.items()
    }


class SynapticOperations(TorchDispatchMode):
    """Context manager that counts the synaptic operations of a network inside the block.

    The block must not contain a backward pass, and weights must not change from the first block on. The mode costs some
    microseconds per operation, so code inside the block should not be timed.

    Attributes:
        by_weight: `dense`, `effective_macs` and `effective_acs` of each weight, by its name in the network.
        uncounted: the reason why the counts are too small, if they are: the first product without an identifiable
            weight, or the first unknown operation with a weight; None otherwise.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.by_weight: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_KINDS, 0))
        self.uncounted: str | None = None
        # Parameters outlive the count, so no other tensor can have the address of one.
        self._named = {
            tensor.data_ptr(): (tensor.data_ptr() + _extent(tensor), name)
            for name, tensor in (*network.named_buffers(), *network.named_parameters())
            if tensor.numel()
        }
        self._begins = sorted(self._named)
        self._fan_outs: dict[tuple[Any, ...], Tensor] = {}

    def total(self, kind: str) -> int:
        """Return the operations of a kind, summed over all weights."""
        return sum(counts[kind] for counts in self.by_weight.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket in _PRODUCTS:
            first, second = (args[place] for place in _PRODUCTS[func.overloadpacket])
            self._product(func, first, second)
        elif func.overloadpacket is _ATEN.convolution:
            self._convolution(func, *args)
        elif torch.Tag.pointwise not in func.tags and self._mixes(_tensors((args, kwargs))):
            self._cannot(f"{func} has a weight of the network as an argument, and its operations cannot be counted")
        return func(*args, **kwargs)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import the compiler at the first operation, which takes a second and much memory

    def _cannot(self, reason: str) -> None:
        self.uncounted = self.uncounted or reason

    def _name(self, tensor: Tensor) -> str | None:
        """Return the name of the parameter in whose memory the tensor begins; a storage may hold several of them."""
        place = bisect_right(self._begins, tensor.data_ptr())
        end, name = self._named[self._begins[place - 1]] if place else (0, None)
        return name if tensor.data_ptr() < end else None

    def _mixes(self, tensors: Iterator[Tensor]) -> bool:
        """Return whether the tensors include a matrix of weights, and also numbers that are not weights."""
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
            whose = "neither side is a parameter" if weight is None else "both sides are parameters"
            self._cannot(f"the weight of a product ({func}) cannot be identified: {whose}")
            return
        x = first if first.ndim > 1 else first.unsqueeze(0)
        W = second if second.ndim > 1 else second.unsqueeze(-1)
        if name is None:  # W x with columns of x instead of x W with rows
            x, W = W.mT, x.mT
        # Floating point, because torch is up to ten times faster with it than with Booleans; exact below 2^24 rows.
        magnitude = x.abs()
        nonzero = magnitude.sign()
        counting = torch.float32 if x.shape[-2] < 2**24 else torch.float64
        ternary = ((magnitude - nonzero).abs_().amax(-1) == 0).to(counting)
        often = torch.stack((1 - ternary, ternary), -2) @ nonzero.to(
            counting
        )  # counts for each input, [..., 2, inputs]
        effective = often.double() @ self._fan_out(W).unsqueeze(-1)
        self._add(weight, x.numel() * W.shape[-1], effective.reshape(-1, 2).sum(0))

    def _fan_out(self, W: Tensor) -> Tensor:
        """Return the number of nonzero weights of each input, [..., inputs]."""
        key = (W.data_ptr(), W.shape, W.stride())
        if key not in self._fan_outs:
            self._fan_outs[key] = W.count_nonzero(-1).double()
        return self._fan_outs[key]

    def _convolution(self, func: Any, x: Tensor, W: Tensor, bias: Tensor | None, *shape: Any) -> None:
        name = self._name(W)
        if name is None:
            self._cannot(f"the kernel of a convolution ({func}) is not a parameter")
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
            self.by_weight[name][kind] += int(count)


def _extent(tensor: Tensor) -> int:
    """Return the bytes from the tensor's first number to the end of its last."""
    steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (1 + steps) * tensor.itemsize


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield every tensor among the arguments of an operation."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(tuple(values.values()))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _tensors(value)
