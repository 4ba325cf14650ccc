"""A step of neurons as one operation of a graph, against the neurons' own step under autograd."""

from __future__ import annotations

import contextlib
from unittest import mock

import pytest
import torch
from torch import Tensor

from throughtime.neurons.kernels import graph_step
from throughtime.neurons.kernels.graph_step import step_in_graph
from throughtime.neurons.kernels.loops import StepLoops
from throughtime.neurons.surrogate import smoothed
from throughtime.numerics.loops import without_compiled_loops
from throughtime.numerics.trees import mapped
from throughtime.registry import NEURONS

F64 = torch.float64
SHAPE = (2, 3, 2)
NAMES = ("lif", "ltc", "lstm", "glif")
"""A value in place of the current; gates and a field that they read; several currents; parameters of each neuron."""


def summed_gate(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> torch.nn.Module:
    return torch.nn.Conv2d(inputs[0], outputs[0], 3, padding=1)


summed_gate.summed = True  # type: ignore[attr-defined]


def neuron_of(name: str):
    options = {"gate_map": summed_gate} if name == "ltc" else {}
    torch.manual_seed(1)
    return NEURONS[name].factory(SHAPE, **options).double()


def inputs(neuron) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A current, and a state after a spike in a third of the neurons, all with a gradient."""
    generator = torch.Generator().manual_seed(2)
    current = 3 * torch.randn(4, neuron.currents * 2, 3, 2, dtype=F64, generator=generator)
    state = mapped(
        lambda s: torch.randn(s.shape, dtype=F64, generator=generator), neuron.initial_state(4, current.new_zeros(()))
    )
    state = state._replace(z=(torch.rand(4, *SHAPE, generator=generator) < 1 / 3).double())
    return current.requires_grad_(), mapped(lambda s: s.requires_grad_(), state)


def differences(step, fields: tuple[str, ...] | None = None, constant: bool = False, name: str = "ltc") -> float:
    """Return the largest difference of a step and its gradients from those of the neuron, in units of the largest.

    Args:
        step: the step.
        fields: the results on which the loss depends; None: all.
        constant: whether the state before has no gradient.
        name: name of the neuron.
    """
    results = []
    for run in (step, lambda neuron, current, state: neuron(current, state)):
        neuron = neuron_of(name)
        current, state = inputs(neuron)
        kept = current.detach().clone()
        if constant:
            state = mapped(Tensor.detach, state)
        _, after = run(neuron, current, state)
        assert torch.equal(current, kept), "the current belongs to the caller"
        used = [s for f, s in zip(after._fields, after, strict=True) if fields is None or f in fields]
        E = sum((s * torch.linspace(-1, 2, s.numel(), dtype=F64).view(s.shape)).sum() for s in used)
        leaves = [current, *neuron.parameters(), *(() if constant else state)]
        gradients = torch.autograd.grad(E, leaves, allow_unused=True, materialize_grads=True)
        results.append([*map(Tensor.detach, after), *gradients])
    result, expected = results
    assert all(torch.isfinite(a).all() for a in result)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in zip(result, expected, strict=True))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_results_and_gradients_are_those_of_the_neuron(name, compiled):
    with contextlib.nullcontext() if compiled else without_compiled_loops():
        assert differences(step_in_graph, name=name) < 1e-12
        if compiled and name in ("lstm", "glif"):  # the others have a loop for each of these gradients, too
            return
        assert differences(step_in_graph, name=name, constant=True) < 1e-12
        assert differences(step_in_graph, ("z",), name=name) < 1e-12
        assert differences(step_in_graph, ("v",), name=name) < 1e-12


def test_a_gradient_that_is_left_out_is_noticed():
    """The comparison fails for an operation whose backward pass forgets the current."""

    def forgetful(neuron, current, state):
        return step_in_graph(neuron, current.detach() + 0 * current, state)

    assert differences(forgetful) > 1e-3


def test_a_step_runs_in_loops_and_smooth_spikes_do_not():
    calls = []

    class Counted(graph_step._Layer):
        def step_in_loops(self, known, constants):
            calls.append(self.neuron)
            return super().step_in_loops(known, constants)

    neuron = neuron_of("ltc")
    with mock.patch.object(graph_step, "_Layer", Counted):
        step_in_graph(neuron, *inputs(neuron))
        with without_compiled_loops():
            step_in_graph(neuron, *inputs(neuron))
        assert calls == [neuron]
        with smoothed():
            z, _ = step_in_graph(neuron, *inputs(neuron))
    assert calls == [neuron] and bool(((z > 0) & (z < 1)).any())


def test_a_changed_parameter_is_noticed():
    neuron = neuron_of("glif")
    _, after = step_in_graph(neuron, *inputs(neuron))
    with torch.no_grad():
        neuron.alpha.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        after.v.sum().backward()


def test_values_to_store_are_those_that_gradients_read():
    """LIF without a gradient by the state: the potential after the step, and z."""
    loops = graph_step.loops_of(NEURONS["lif"].factory(SHAPE), single_step=True)
    assert isinstance(loops, StepLoops)
    after = loops.equations.after
    assert loops.read_back[False] == [after["v"], after["z"]]
