"""The floor of a run's time: the cost of its matrix products and its largest arrays at the rates of this machine.

The floor contains, for one batch of sequences:

- the forward product of every linear map of the network (synapses, gates and other maps of the neurons, readouts) in
  each step;
- for rules with a backward pass, within each of their windows, the gradients of each map's weight and of those of its
  inputs that depend on trained parameters (x and the state at the start of the window do not); the map of a readout
  with a constant leak counts only for the steps with a loss;
- for e-prop and diagonal_rtrl the products of signals and inputs of each block of steps; between two blocks one write
  and one read of the traces, and the product that advances those that differ between neurons; for rtrl the product J M
  of each sample;
- for each update one read and one write of the optimiser's arrays, one more read of the gradient for the norm that
  clips it, and FPTT's two copies of the weights.

Each rule defines its own part (`LearningRule.credit`). Products have the most efficient shapes: one product for all
steps of a window wherever no step depends on another. They are dense: products with zeros count, even if the input
consists of spikes, most of which are zero. The floor is the sum over products and arrays, each at the fastest rate
measured at its size.

The floor excludes the following, so no run reaches it: elementwise operations (the neuron's equations, surrogates,
batch normalisation, the loss), storing and reading activations, the derivatives of diagonal_rtrl and rtrl, calls of the
framework other than those of the products, and loading of data. A program that skips the zeros of spikes may take less
time.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.credit import Credit
from throughtime.harness.optimisers import moved, stored
from throughtime.measuring.yardstick import Rate, Yardstick, yardstick
from throughtime.networks.base import Network
from throughtime.networks.products import Product, forward_products
from throughtime.records.record import Measure
from throughtime.spec import Training

FLOAT = torch.float32.itemsize


class Stream(NamedTuple):
    """Arrays that a rule reads and writes repeatedly during a batch."""

    array: int
    """Total bytes of the arrays."""
    moved: int
    """Bytes read and written for one batch of sequences."""


class Operations(NamedTuple):
    """Products and memory traffic of a batch of sequences."""

    products: Counter[Product]
    """Number of products of each shape."""
    streams: list[Stream]
    contains: str
    """Short description of the counted operations."""

    @property
    def flops(self) -> int:
        return sum(count * product.flops for product, count in self.products.items())

    @property
    def moved(self) -> int:
        """Bytes read and written outside the products."""
        return sum(stream.moved for stream in self.streams)

    def seconds(self, rates: Yardstick) -> float:
        """Return the time at the fastest measured rates."""
        product_seconds = sum(n * p.flops / rates.products[p].best for p, n in self.products.items())
        return product_seconds + sum(s.moved / rates.streams[s.array].best for s in self.streams)


def operations(rule: LearningRule, network: Network, training: Training, batch: int, steps: int) -> Operations:
    """Return the operations of the rule on this network for one batch, without changes to either or random numbers.

    The rule's `credit` defines its part. For a network that does not describe itself the maps are known, but not their
    inputs (see `maps_of`).

    Args:
        rule: the rule.
        network: the network.
        training: settings of the optimiser.
        batch: number of sequences.
        steps: time steps of a sequence.
    """
    forward = forward_products(network, rule.windows(steps), batch)
    if not forward:
        return Operations(Counter(), [], "")
    credit = rule.credit(network, batch, steps)
    if credit is None:
        credit = Credit(Counter(), "dense products forward; this rule states no credit")
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    clipped = 0 if training.clip is None else 1
    streams = [
        Stream(
            array=(stored(training) + credit.copies) * parameters * FLOAT,
            moved=(moved(training) + clipped + 2 * credit.copies) * parameters * FLOAT * credit.updates,
        )
    ]
    if credit.traces and credit.carries:
        streams.append(Stream(array=credit.traces, moved=2 * credit.traces * credit.carries))
    return Operations(forward + credit.products, streams, credit.contains)


def forward_operations(network: Network, batch: int, steps: int) -> Operations:
    """Return the operations of the forward pass alone."""
    return Operations(forward_products(network, [steps], batch), [], "dense products forward")


def floor_measures(
    rule: LearningRule, network: Network, training: Training, batch: int, steps: int, wall_time: float
) -> dict[str, Measure]:
    """Measure the machine's rates at the sizes of the run, and compute its floor and its time relative to the floor.

    Args:
        rule: the rule.
        network: the network.
        training: settings of the optimiser.
        batch: number of sequences.
        steps: time steps of a sequence.
        wall_time: measured seconds per sequence.
    """
    units = {"floor_time": "second a sequence", "time_over_floor": "1", "matmul_rate": "flop a second"}
    device = next(network.parameters()).device.type
    if device != "cpu":
        why = f"the yardstick measures the processor, but the run used {device}"
        return _missing(units | {"copy_bandwidth": "byte a second"}, why)
    if training.precision != "float32":
        why = f"the yardstick measures products of float32, but the run used {training.precision}"
        return _missing(units | {"copy_bandwidth": "byte a second"}, why)
    needed = operations(rule, network, training, batch, steps)
    rates = yardstick(needed.products, [stream.array for stream in needed.streams])
    busy = "; other processes used the machine" if rates.contended else ""
    copied = {
        "copy_bandwidth": Measure(
            value=rates.copy.median,
            unit="byte a second",
            method=f"read and written, {rates.copy.n} copies between arrays beyond the caches, median, "
            f"{_range(rates.copy, 1e9)} GB/s{busy}",
        )
    }
    if not needed.products:
        return copied | _missing(units, "the network has no trained nn.Linear, so its products are unknown")
    if rates.contended and rates.threads > 1:
        # With one thread some of many repeats are undisturbed. With several threads, which wait for each other,
        # possibly no repeat is: the rates are then too low and the floor is too high.
        why = f"other processes used the machine while the rates of {rates.threads} threads were measured"
        return copied | _missing(units, why)
    floor = needed.seconds(rates) / batch
    at_median = sum(n * p.flops / rates.products[p].median for p, n in needed.products.items())
    contains = (
        f"{needed.contains}: {needed.flops / batch / 1e6:.3g} Mflop a sequence; {needed.moved / batch / 1e6:.3g} MB "
        f"moved outside products; at the best rates of this machine{busy}"
    )
    measures = {
        "floor_time": (floor, contains),
        "time_over_floor": (wall_time / floor, "wall_time / floor_time"),
        "matmul_rate": (
            needed.flops / at_median,
            f"medians of float32 products at the floor's {len(needed.products)} sizes, weighted as in the floor{busy}",
        ),
    }
    return copied | {
        name: Measure(value=value, unit=units[name], method=method) for name, (value, method) in measures.items()
    }


def _missing(units: dict[str, str], why: str) -> dict[str, Measure]:
    return {name: Measure(value=None, unit=unit, method="floor", missing=why) for name, unit in units.items()}


def _range(rate: Rate, unit: float) -> str:
    return f"quartiles {rate.low / unit:.3g} to {rate.high / unit:.3g}"
