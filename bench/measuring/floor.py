"""The floor of a run's time: the cost of its matrix products and its largest arrays at the rates of this machine.

The floor contains, for one batch of sequences:

- every linear map of the network (synapses, gates and other maps of the neurons, readouts) once a step, forward;
- for rules that go backward, within each of their windows, the gradient by each map's weight, and by those of its
  inputs that depend on trained parameters (neither x nor the state at the window's beginning does); the map of a
  readout with a constant leak counts only for the steps that have a loss;
- for e-prop and diagonal_rtrl their traces, read and written once a step; for rtrl the product J M of each sample;
- for each update the optimiser's arrays, read and written once, the gradient once more for the norm that clips it, and
  the two copies of the weights that FPTT keeps.

A rule states its own share (`LearningRule.credit`). Products have the shapes that suit a machine best: all steps of a
window at once wherever no step waits for another. They are dense: products with zeros count, also where the input is
spikes, most of which are zero. Products and arrays are counted one after the other, each at the fastest rate measured
at its size.

The floor contains none of the following, so that no run reaches it: elementwise operations (the neuron's equations,
surrogates, batch normalisation, the loss), activations that are stored and read again, the derivatives of
diagonal_rtrl and rtrl, calls of the framework other than the products' own, loading of data. It is the floor of the
equations as they are written, step by step: a program that skips the zeros among spikes, or computes the traces of
several steps in one product, may take less time.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.credit import Credit
from throughtime.harness.optimisers import OPTIMISERS
from throughtime.measuring.yardstick import Rate, Yardstick, yardstick
from throughtime.networks.base import Network
from throughtime.networks.products import Product, forward_products
from throughtime.records.record import Measure
from throughtime.spec import Training

FLOAT = torch.float32.itemsize


class Stream(NamedTuple):
    """Arrays that a batch reads and writes repeatedly."""

    array: int
    """Bytes of them all."""
    moved: int
    """Bytes read and written for one batch of sequences."""


class Operations(NamedTuple):
    """Products and memory traffic of a batch of sequences."""

    products: Counter[Product]
    """Number of products of each shape."""
    streams: list[Stream]
    contains: str
    """A few words on what is counted."""

    @property
    def flops(self) -> int:
        return sum(count * product.flops for product, count in self.products.items())

    @property
    def moved(self) -> int:
        """Bytes read and written outside the products."""
        return sum(stream.moved for stream in self.streams)

    def seconds(self, rates: Yardstick) -> float:
        """At the fastest rates seen."""
        of_products = sum(n * p.flops / rates.products[p].best for p, n in self.products.items())
        return of_products + sum(s.moved / rates.streams[s.array].best for s in self.streams)


def operations(rule: LearningRule, network: Network, training: Training, batch: int, steps: int) -> Operations:
    """The operations of the rule on this network for one batch; changes neither, and draws no random numbers.

    The rule's share is what its `credit` says. Of a network that does not describe itself the maps are known, but not
    their inputs (see `maps_of`).

    Args:
        batch: sequences.
        steps: of each.
    """
    forward = forward_products(network, rule.windows(steps), batch)
    if not forward:
        return Operations(Counter(), [], "")
    credit = rule.credit(network, batch, steps)
    if credit is None:
        credit = Credit(Counter(), "dense products forward: of this rule no more is known")
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    optimiser = OPTIMISERS[training.optimiser]
    moved = optimiser.moved + (0 if training.clip is None else 1)
    streams = [
        Stream(
            array=(optimiser.kept + credit.copies) * parameters * FLOAT,
            moved=(moved + 2 * credit.copies) * parameters * FLOAT * credit.updates,
        )
    ]
    if credit.traces:
        streams.append(Stream(array=credit.traces, moved=2 * credit.traces * steps))
    return Operations(forward + credit.products, streams, credit.contains)


def forward_operations(network: Network, batch: int, steps: int) -> Operations:
    """The operations of the steps forward alone."""
    return Operations(forward_products(network, [steps], batch), [], "dense products forward")


def floor_measures(
    rule: LearningRule, network: Network, training: Training, batch: int, steps: int, wall_time: float
) -> dict[str, Measure]:
    """The machine's rates at the sizes of the run, its floor, and its time as a multiple of that.

    Args:
        wall_time: seconds a sequence, measured.
    """
    units = {"floor_time": "second a sequence", "time_over_floor": "1", "matmul_rate": "flop a second"}
    device = next(network.parameters()).device.type
    if device != "cpu":
        why = f"the yardstick measures the processor, and this ran on {device}"
        return _missing(units | {"copy_bandwidth": "byte a second"}, why)
    if training.precision != "float32":
        why = f"the yardstick measures products of float32, and this took them in {training.precision}"
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
        return copied | _missing(
            units, "no nn.Linear that learns was found in this network: its products are not known"
        )
    if rates.contended and rates.threads > 1:
        # One thread has undisturbed repeats among many; several that wait for each other have none, and a floor from
        # rates that are too low lies too high.
        why = f"other processes used the machine while the rates of {rates.threads} threads were measured"
        return copied | _missing(units, why)
    floor = needed.seconds(rates) / batch
    at_median = sum(n * p.flops / rates.products[p].median for p, n in needed.products.items())
    contains = (
        f"{needed.contains}: {needed.flops / batch / 1e6:.3g} Mflop a sequence; {needed.moved / batch / 1e6:.3g} MB "
        f"moved besides; at the best rates measured here{busy}"
    )
    found = {
        "floor_time": (floor, contains),
        "time_over_floor": (wall_time / floor, "wall_time / floor_time"),
        "matmul_rate": (
            needed.flops / at_median,
            f"float32 products at the {len(needed.products)} sizes of the floor, weighed as there, medians{busy}",
        ),
    }
    return copied | {
        name: Measure(value=value, unit=units[name], method=method) for name, (value, method) in found.items()
    }


def _missing(units: dict[str, str], why: str) -> dict[str, Measure]:
    return {name: Measure(value=None, unit=unit, method="floor", missing=why) for name, unit in units.items()}


def _range(rate: Rate, unit: float) -> str:
    return f"quartiles {rate.low / unit:.3g} to {rate.high / unit:.3g}"
