"""The floor of a run's time: what its matrix products and its largest arrays cost at the rates of this machine.

In it, for one batch of sequences:

- every linear map of the network (the synapses, the neuron's own such as gates, the readout) once a step, forward;
- for rules that go backward, within each window of theirs: the gradient by each map's weight, and by its input where
  that depends on what is learnt (not by x; not by the state that a window begins with); of the map of a readout with a
  constant leak only for the steps that have a loss;
- for e-prop and diagonal_rtrl their traces, read and written once a step; for rtrl the product J M of each sample;
- for each update the optimiser's arrays, read and written once, the gradient once more for the norm that clips it, and
  FPTT's two copies of the weights.

Products have the shapes that suit a machine best: all steps of a window at once wherever no step waits for another.
They are dense: a product with zeros counts, also with spikes, most of which are zero. Products and arrays are taken one
after the other, at the fastest rate seen at their size.

Not in it, so that nobody reaches the floor: every elementwise operation (the neuron's equations, surrogates, batch
normalisation, the loss), activations that are stored and read again, the derivatives of diagonal_rtrl and rtrl, calls
of the framework other than the products' own, loading. It is the floor of the equations as they are written, step by
step: a program that leaves out the zeros among spikes, or gathers several steps of traces into a product, may pass
below it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.algorithms.eligibility.eligibility import EligibilityRule
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.eligibility.traces import Trace, Traces
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.rtrl import RTRL
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.measuring.yardstick import Product, Rate, Yardstick, yardstick
from throughtime.networks.base import Network
from throughtime.networks.readout import GatedReadout, LeakyReadout
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.trees import tensors
from throughtime.records.record import Measure
from throughtime.spec import Training

FLOAT = torch.float32.itemsize
OPTIMISERS = {"adam": (4, 7), "adamax": (4, 7), "sgd": (2, 3)}
"""Numbers for each parameter: kept (weight, gradient, moments), and read or written in an update."""


class Stream(NamedTuple):
    """Arrays that are gone through again and again."""

    array: int
    """Bytes of them all."""
    moved: int
    """Bytes read and written for one batch of sequences."""


class Work(NamedTuple):
    """What a batch of sequences needs."""

    products: Counter[Product]
    """How many of each shape."""
    streams: list[Stream]
    contains: str
    """What is in it, in a few words."""

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


class Map(NamedTuple):
    """A linear map as the network's equations use it, once a step, in windows of steps."""

    reads: int
    makes: int
    at_once: bool
    """Whether one product can take all steps of a window: none waits for what an earlier one made."""
    first: int = 0
    """Of the numbers it reads in the first step of a window, those that depend on what is learnt; and"""
    later: int = 0
    """in a later step."""
    at_loss: bool = False
    """Whether its gradient may come from the steps that have a loss alone; else every step of a window has one."""


class Credit(NamedTuple):
    """What a rule does for a batch besides the steps forward."""

    products: Counter[Product]
    contains: str
    updates: int = 1
    traces: int = 0
    """Bytes, read and written once a step."""
    copies: int = 0
    """Numbers for each parameter that the rule keeps, and reads and writes in an update."""


def work(rule: LearningRule, network: Network, training: Training, batch: int, steps: int) -> Work:
    """What the rule needs on this network for a batch of so many sequences; changes neither, and draws no numbers.

    A rule from elsewhere is taken by its claims: an exact gradient whose memory grows with T goes backward, and of any
    other rule only the steps forward and one update are known. Of a network other than `recurrent` the maps that learn
    are known, but not what they read and which steps' gradients reach them: no gradient by an input is counted, and
    gradients by weights as of the steps that have a loss.
    """
    maps, windows = maps_of(network), rule.windows(steps)
    forward = _over(windows, lambda k: _forward(maps, k, batch))
    if not forward:
        return Work(Counter(), [], "")
    credit = _credit(rule, network, maps, batch, steps)
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    kept, touched = OPTIMISERS[training.optimiser]
    touched += 0 if training.clip is None else 1
    streams = [
        Stream(
            array=(kept + credit.copies) * parameters * FLOAT,
            moved=(touched + 2 * credit.copies) * parameters * FLOAT * credit.updates,
        )
    ]
    if credit.traces:
        streams.append(Stream(array=credit.traces, moved=2 * credit.traces * steps))
    return Work(forward + credit.products, streams, credit.contains)


def forward_work(network: Network, batch: int, steps: int) -> Work:
    """What the steps forward alone need."""
    products = _over([steps], lambda k: _forward(maps_of(network), k, batch))
    return Work(products, [], "dense products forward")


def measures(
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
    needed = work(rule, network, training, batch, steps)
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


def maps_of(network: Network) -> list[Map]:
    """The linear maps of a network that learn."""
    if type(network) is not Recurrent:
        return [Map(m.in_features, m.out_features, at_once=True, at_loss=True) for m in _learning(network)]
    maps = []
    for number, layer in enumerate(network.layers):
        W, R = layer.inward, layer.recurrent
        below = W.in_features if number else 0  # x depends on nothing learnt
        maps.append(Map(W.in_features, W.out_features, at_once=True, first=below, later=below))
        maps.append(Map(R.in_features, R.out_features, at_once=False, later=R.in_features))
        for own in _learning(layer.neuron):
            # In a window's first step what it reads of the current depends on W and R, what it reads of the state on
            # nothing.
            first = min(own.in_features, R.out_features)
            maps.append(Map(own.in_features, own.out_features, at_once=False, first=first, later=own.in_features))
    size, outputs = network.readout.linear.in_features, network.readout.linear.out_features
    # Behind a constant leak the gradient of a loss is the same at every step but for a factor.
    leaky = type(network.readout) is LeakyReadout
    maps.append(Map(size, outputs, at_once=True, first=size, later=size, at_loss=leaky))
    if isinstance(network.readout, GatedReadout):
        maps.append(Map(2 * outputs, outputs, at_once=False, first=outputs, later=2 * outputs))
    return maps


def _learning(module: nn.Module) -> list[nn.Linear]:
    return [m for m in module.modules() if isinstance(m, nn.Linear) and m.weight.requires_grad]


def _credit(rule: LearningRule, network: Network, maps: list[Map], batch: int, steps: int) -> Credit:
    """By the rule's own class: one derived from it may do less."""
    windows = rule.windows(steps)
    every = getattr(rule, "loss_at", "end") == "every" or (hasattr(rule, "task") and rule.task.per_step)

    def backward(windows: list[int]) -> Counter[Product]:
        return _over(windows, lambda k: _backward(maps, k, k if every else 1, batch))

    through = "dense products forward and backward"
    kind = type(rule)
    if kind is BPTT:
        return Credit(backward(windows), through)
    if kind is TruncatedBPTT:
        return Credit(backward(windows), through, updates=len(windows))
    if kind is FPTT:
        trained = windows if rule.last_part else windows[:-1]
        products = backward(trained)
        if rule.form == "paper":
            products += products + _over(trained, lambda k: _forward(maps, k, batch))
            through += ", twice"
        return Credit(products, through, updates=len(trained), copies=0 if rule.form == "none" else 2)
    if kind in (EProp, DiagonalRTRL):
        readout = network.readout.linear
        losses = steps if every else 1
        products = Counter(
            {
                Product(batch, readout.out_features, readout.in_features): losses,  # L = δ B
                Product(readout.out_features, batch, readout.in_features): losses,
            }
        )
        updates = -(-steps // rule.update_every) if rule.update_every else 1
        traces = _trace_numbers(rule, network) * batch * FLOAT
        return Credit(products, "dense products forward, traces read and written each step", updates, traces)
    if kind is RTRL:
        with torch.random.fork_rng(devices=[]):
            S = sum(s.shape[1] for s in tensors(network.initial_state(1)))
        P = sum(p.numel() for p in network.parameters() if p.requires_grad)
        products = Counter({Product(S, S, P, copies=batch): steps - 1})  # M is 0 before the first step
        return Credit(+products, "dense products forward, and J M of each sample")
    if rule.claims.gradient == "exact" and rule.claims.memory == "O(T)":
        return Credit(backward(windows), f"{through}, as the rule claims")
    return Credit(Counter(), "dense products forward: of this rule no more is known")


def _over(windows: list[int], needed: Callable[[int], Counter[Product]]) -> Counter[Product]:
    """What all windows need together."""
    total: Counter[Product] = Counter()
    for k, times in Counter(windows).items():
        total.update({product: times * count for product, count in needed(k).items()})
    return total


def _forward(maps: list[Map], k: int, batch: int) -> Counter[Product]:
    """The products of a window of k steps."""
    found: Counter[Product] = Counter()
    for m in maps:
        rows, times = (k * batch, 1) if m.at_once else (batch, k)
        found[Product(rows, m.reads, m.makes)] += times
    return found


def _backward(maps: list[Map], k: int, losses: int, batch: int) -> Counter[Product]:
    """The products of a window's gradient, `losses` of its k steps having a loss."""
    found: Counter[Product] = Counter()
    for m in maps:
        graded = losses if m.at_loss else k
        found[Product(m.makes, graded * batch, m.reads)] += 1  # by the weight: one, of all steps
        if m.at_once:
            found[Product(graded * batch, m.makes, m.later)] += 1 if m.later else 0
        else:
            found[Product(batch, m.makes, m.first)] += 1 if m.first else 0
            found[Product(batch, m.makes, m.later)] += k - 1
    return +found


@torch.no_grad()
def _trace_numbers(rule: EligibilityRule, network: Recurrent) -> int:
    """Numbers a sample that traces must carry from step to step, counted on one sample.

    Of ε: those of the variables that a step reads from the one before, or of those that it makes of them, whichever
    are fewer: the others follow from these. Of ē, if the readout has a memory, all.
    """
    layer, readout = network.layers[0], network.readout
    with torch.random.fork_rng(devices=[]):
        state = layer.neuron.initial_state(1, readout.linear.weight)
    current = state.z.new_zeros(1, layer.inward.out_features)
    _, after = layer.neuron(current, state)
    partials = rule.partials(layer.neuron, current, state, after)
    traces = Traces((readout.reads, *rule.also_wanted))
    p = current.new_zeros(1, layer.inward.in_features + layer.neuron.size + 1)
    for _ in range(len(partials.from_previous) + 1):  # a trace may start to differ from 0 steps after another
        ε = traces.advance(partials, p)
    read, made = {r for _, r in partials.from_previous}, {s for s, _ in partials.from_previous}
    numbers = 0
    for trace in ε.values():
        numbers += min(_numbers(trace, read), _numbers(trace, made))
        if readout.decay:
            numbers += _numbers(trace, {readout.reads})
    return numbers


def _numbers(trace: Trace, names: set[str]) -> int:
    return sum(trace[name].numel() for name in names & trace.keys())


def _range(rate: Rate, unit: float) -> str:
    return f"quartiles {rate.low / unit:.3g} to {rate.high / unit:.3g}"
