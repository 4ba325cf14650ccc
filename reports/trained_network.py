"""The figure of a trained network: spikes, membranes and time constants on a sequence of the test split."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from throughtime.errors import UsageError
from throughtime.harness.by_name import build_dataset
from throughtime.harness.weights import Which, load_network
from throughtime.networks.base import Network
from throughtime.records.results import Results
from throughtime.reports.cells import neuron_label, rule_title
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, scaled, styled
from throughtime.reports.styles import rule_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from throughtime.datasets.base import Dataset
    from throughtime.datasets.batch import Batch

MEMBRANES = 5
"""Number of membranes that are drawn."""
POINTS = 16
"""Number of time steps at which the leak of a membrane is computed."""
MOST_LEAKS = 256
"""Largest number of neurons of a layer whose leaks are computed."""
COLUMNS = ["layer", "what", "step", "neuron", "value"]


class LayerActivity(NamedTuple):
    """Activity of a layer on one sequence."""

    name: str
    spikes: np.ndarray | None
    """[steps, neurons]; None for cells that do not spike."""
    v: np.ndarray
    """Membranes, [steps, neurons]."""
    time_constants: np.ndarray
    """Effective time constant of each neuron, in steps; NaN where the membrane does not decay."""


@styled
def draw_network(results: Results, run: str, sequence: int = 0, weights: Which = "final") -> Drawn:
    """Draw a trained network: for each layer the spikes and some membranes on a test sequence, and time constants.

    The effective time constant of a neuron is −1 / ln λ; λ is the median, over steps of the sequence, of ∂v_t/∂v_{t−1}
    with the spikes of the previous step held constant: exp(−1/τ) for LIF.

    Args:
        results: results with the run, whose suite sets `keep_weights: true`.
        run: the run's id, or its label.
        sequence: number of the sequence in the test split.
        weights: `final` or `best_validation`.

    Raises:
        UsageError: there is no such run or sequence, its weights were not saved, or the network has no layers with
            membranes.
    """
    record = results.record(run)
    network = load_network(results, run, weights)
    (single,) = sequences_from(dataset_of(results, run), sequence, 1)
    x = single.x[:, 0]
    layers = trace(network, x)
    if not layers:
        raise UsageError("the network does not describe its layers, or they have no membranes", where=record.label)
    colour = rule_styles([record.spec.rule.label])[record.spec.rule.label].colour
    figure, panels = grid(3 * len(layers), columns=3)
    for row, layer in enumerate(layers):
        _draw_layer(panels[3 * row : 3 * row + 3], layer, colour)
    spec = record.spec
    neuron = neuron_label(spec.neuron.label, spec.network.label)
    title = f"{rule_title(spec.rule.label)}, {neuron}, {spec.dataset.label}: a trained network"
    which = "last epoch" if weights == "final" else "epoch best on validation"
    notes = [
        f"Suite {spec.suite}, scale {spec.scale}, replicate {spec.replicate}, weights of the {which}; test sequence "
        f"{sequence}, {len(x)} steps.",
        f"Membranes: {MEMBRANES} neurons, evenly spaced. Time constant: −1 / ln of the median of the derivative of a "
        f"membrane by its previous value, with spikes held constant; of at most {MOST_LEAKS} neurons of a layer.",
    ]
    finish(figure, title, notes, {})
    return Drawn(figure, _frame(layers), title, notes)


def trace(network: Network, x: Tensor) -> list[LayerActivity]:
    """Step through a sequence x [steps, *inputs]; return what each layer did, or nothing for layers without membranes.

    Memory: the states of all steps.
    """
    network.eval()
    states, spikes = [network.initial_state(1)], []
    with torch.no_grad():
        for x_t in x:
            step, state = network(x_t.unsqueeze(0), states[-1])
            states.append(state)
            spikes.append(step.spikes)
    layers = []
    for number, layer in enumerate(network.layers if network.described else ()):
        mine = [state.layers[number] for state in states]
        if not isinstance(getattr(mine[0], "v", None), Tensor):
            continue
        v = torch.stack([s.v.flatten() for s in mine[1:]]).numpy()
        z = (
            torch.stack([step_spikes[number].flatten() for step_spikes in spikes]).numpy()
            if layer.neuron.spiking
            else None
        )
        leaks = [
            _leak(network, x, states, number, int(t)) for t in np.unique(np.linspace(0, len(x) - 1, POINTS, dtype=int))
        ]
        with np.errstate(divide="ignore", invalid="ignore"):
            τ = -1 / np.log(np.median(leaks, axis=0))
        layers.append(LayerActivity(layer.name, z, v, np.where(np.isfinite(τ) & (τ > 0), τ, np.nan)))
    return layers


def _leak(network: Network, x: Tensor, states: list[Any], number: int, t: int) -> np.ndarray:
    """Return ∂v_t/∂v_{t−1} of each neuron of a layer, from the diagonal of the Jacobian of the step; NaN for all but
    `MOST_LEAKS` evenly spaced neurons, each of which takes a backward pass."""
    state = states[t]
    layer = state.layers[number]

    def next_v(v: Tensor) -> Tensor:
        layers = tuple(layer._replace(v=v.view_as(layer.v)) if i == number else s for i, s in enumerate(state.layers))
        return network(x[t].unsqueeze(0), state._replace(layers=layers))[1].layers[number].v.flatten()

    v = layer.v.flatten().clone().requires_grad_()
    with torch.enable_grad():
        after = next_v(v)
    leak = np.full(len(v), np.nan)
    if not after.requires_grad:
        return np.zeros(len(v))  # no membrane depends on the step before
    for i in np.unique(np.linspace(0, len(v) - 1, min(len(v), MOST_LEAKS), dtype=int)).tolist():
        (row,) = torch.autograd.grad(after[i], v, retain_graph=True, allow_unused=True, materialize_grads=True)
        leak[i] = float(row[i])
    return leak


def dataset_of(results: Results, run: str) -> Dataset:
    """Return the dataset of a run."""
    spec = results.record(run).spec
    return build_dataset(spec.dataset.name, **spec.dataset.options)


def sequences_from(dataset: Dataset, first: int, most: int) -> list[Batch]:
    """Return sequences of the test split from a position on, at most some, each as a batch of one.

    Raises:
        UsageError: the split has no such position.
    """
    every = (single for batch in dataset.batches("test", dataset.evaluation_batch) for single in batch.singles())
    if sequences := list(islice(every, first, first + most)):
        return sequences
    raise UsageError(f"the test split has {dataset.size('test')} sequences, numbered from 0", f"sequence {first}")


def _draw_layer(panels: list[Axes], layer: LayerActivity, colour: tuple[float, float, float]) -> None:
    raster, membranes, histogram = panels
    if layer.spikes is None:
        raster.text(0.5, 0.5, "these cells do not spike", ha="center", transform=raster.transAxes, color="0.4")
    else:
        steps, neurons = np.nonzero(layer.spikes)
        raster.scatter(steps, neurons, s=min(8, 400 / layer.v.shape[1]), marker="|", color=colour, linewidths=0.8)
        raster.set(xlim=(-0.5, len(layer.v) - 0.5), ylim=(-0.5, layer.v.shape[1] - 0.5))
        raster.set_title(f"{layer.name}: {layer.spikes.mean():.3g} spikes a neuron and step")
    raster.set(xlabel="time step", ylabel="neuron")
    for i, neuron in enumerate(_chosen(layer)):
        membranes.plot(layer.v[:, neuron], color=colour, alpha=1 - 0.15 * i, linewidth=1)
    membranes.set(xlabel="time step", ylabel="membrane v")
    membranes.set_title(f"{layer.name}: membranes")
    known = layer.time_constants[np.isfinite(layer.time_constants)]
    if len(known):
        low, high = known.min(), known.max()
        bins = np.geomspace(low * 0.9, high * 1.1, 24)
        histogram.hist(known, bins=bins.tolist(), color=colour)
        scale_axis(histogram.xaxis, pd.Series(known), ratio=1.5)
    else:
        histogram.text(0.5, 0.5, "no membrane decays", ha="center", transform=histogram.transAxes, color="0.4")
    histogram.set(xlabel=scaled("time constant (steps)", histogram.xaxis), ylabel="neurons")
    histogram.set_title(f"{layer.name}: {len(known)} of {layer.v.shape[1]} neurons")


def _chosen(layer: LayerActivity) -> list[int]:
    return np.unique(np.linspace(0, layer.v.shape[1] - 1, MEMBRANES, dtype=int)).tolist()


def _frame(layers: list[LayerActivity]) -> pd.DataFrame:
    """Return the drawn numbers: each spike, the drawn membranes at each step, and each time constant."""
    rows: list[tuple[Any, ...]] = []
    for layer in layers:
        if layer.spikes is not None:
            rows += [(layer.name, "spike", t, neuron, 1.0) for t, neuron in zip(*np.nonzero(layer.spikes), strict=True)]
        rows += [(layer.name, "membrane", t, i, v[i]) for i in _chosen(layer) for t, v in enumerate(layer.v)]
        rows += [(layer.name, "time constant", None, i, τ) for i, τ in enumerate(layer.time_constants)]
    return pd.DataFrame(rows, columns=COLUMNS)
