"""Facts of neurons: the contract of a step; its claimed derivatives and its kernel against autograd."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.checks import tiny
from throughtime.checks.contract.coordinates import recurrent_weights
from throughtime.checks.contract.dtypes import in_both, window_tensors
from throughtime.checks.contract.resets import misdeclared
from throughtime.checks.fact import DoesNotApplyError, Fact, Observed, worst
from throughtime.checks.smooth import STEPS as SMOOTH_STEPS
from throughtime.checks.smooth import smooth_error
from throughtime.checks.window import differences, one_step_error, stepped, two_windows
from throughtime.datasets.task import Classification, Task
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Derivative, Neuron, Partials
from throughtime.neurons.kernels.kernel import kernel_of
from throughtime.numerics.trees import mapped, tensors
from throughtime.registry import Component

WALK = 20
"""Steps of a random walk through a neuron's states."""
BATCHES = 1, 16, 33
"""Sizes of batches beside `BATCH`: compiled code may take several samples at a time."""
WINDOWS = (("spikes", 1), ("spikes", 6), ("membrane", 1), ("membrane", 6))
"""What the readout reads, and the length of the first window, for a kernel."""


def neuron_of(component: Component) -> Neuron:
    with tiny.seeded(3):
        return tiny.build(component, tiny.SIZE).double()


def walk(neuron: Neuron, batch: int = tiny.BATCH) -> list[tuple[Tensor, Any, Tensor, Any]]:
    """Return (current, state, z, next state) of each step under random currents strong enough for spikes."""
    for doublings in range(10):
        steps = walk_under(neuron, 2.0 ** (1 + doublings), batch)
        if not neuron.spiking or any(z.any() for _, _, z, _ in steps):
            break
    return steps


def walk_under(neuron: Neuron, strength: float, batch: int = tiny.BATCH) -> list[tuple[Tensor, Any, Tensor, Any]]:
    """Return the steps of `walk` under normally distributed currents of standard deviation `strength`."""
    like, steps = torch.zeros(1, dtype=torch.float64), []
    with tiny.seeded(5), torch.no_grad():
        state = neuron.initial_state(batch, like)
        for _ in range(WALK):
            current = strength * torch.randn(batch, neuron.currents * tiny.SIZE, dtype=torch.float64)
            z, after = neuron(current, state)
            steps.append((current, state, z, after))
            state = after
    return steps


def well_formed(component: Component) -> Observed:
    """Count faults: every field of the state must be [batch, *shape], finite and of the right dtype, with v and z among
    the fields, and z must be the output."""
    faults = []
    steps = walk(neuron_of(component))
    for state, z in [(steps[0][1], None), *((after, z) for _, _, z, after in steps)]:
        named = state._asdict()
        faults += [f"no field {field}" for field in ("v", "z") if field not in named]
        faults += [f"{name} is {list(s.shape)}" for name, s in named.items() if s.shape != (tiny.BATCH, tiny.SIZE)]
        faults += [f"{name} is {s.dtype}" for name, s in named.items() if s.dtype != torch.float64]
        faults += [f"{name} is not finite" for name, s in named.items() if not s.isfinite().all()]
        if z is not None and "z" in named and not torch.equal(z, named["z"]):
            faults.append("the spikes are not the state's z")
    return Observed(len(faults), "; ".join(dict.fromkeys(faults)) or f"{WALK} steps")


def spikes_are_spikes(component: Component) -> Observed:
    neuron = neuron_of(component)
    if not neuron.spiking:
        raise DoesNotApplyError("a cell that does not spike")
    spikes = torch.stack([z for _, _, z, _ in walk(neuron)])
    off = float(torch.minimum(spikes.abs(), (spikes - 1).abs()).max())
    return Observed(off, f"{100 * float(spikes.mean()):.0f} % of steps with a spike")


def pure(component: Component) -> Observed:
    """Return the error of a repeated step with the same current and state, which the step must not change."""
    neuron, errors = neuron_of(component), []
    for current, state, _, _ in walk(neuron):
        copies = [current.clone(), *(s.clone() for s in state)]
        with torch.no_grad():
            _, first = neuron(current, state)
            _, second = neuron(current, state)
        errors.append(tiny.error([*first, current, *state], [*second, *copies]))
    return Observed(tiny.largest(errors))


def samples_apart(component: Component) -> Observed:
    """Return the difference between samples alone, or in a smaller batch, and in their batch, where the neuron does not
    declare that they mix."""
    neuron, errors = neuron_of(component), []
    if neuron.mixes_samples:
        raise DoesNotApplyError("it declares that samples mix")
    for batch, part in itertools.combinations(reversed(BATCHES), 2):
        for current, state, _, after in walk(neuron, batch):
            with torch.no_grad():
                _, apart = neuron(current[:part], type(state)(*(s[:part] for s in state)))
            errors.append((f"{part} of {batch} samples", tiny.error([*apart], [s[:part] for s in after])))
    return worst(errors, "no batch")


def resets_as_declared(component: Component) -> Observed:
    neuron = neuron_of(component)
    return misdeclared(neuron, walk(neuron) if neuron.spiking else [])


def elementwise(component: Component) -> Observed:
    """Return the effect of a change of one neuron's inputs on the other neurons, where the neuron claims none."""
    neuron = neuron_of(component)
    if not neuron.elementwise:
        raise DoesNotApplyError("it says that neurons depend on each other")
    errors = []
    for current, state, _, after in walk(neuron):
        for j in range(tiny.SIZE):
            moved, moved_state = current.clone(), type(state)(*(s.clone() for s in state))
            for part in (*moved.chunk(neuron.currents, 1), *moved_state):
                part[:, j] += 0.5
            with torch.no_grad():
                _, other = neuron(moved, moved_state)
            others = [k for k in range(tiny.SIZE) if k != j]
            errors.append(tiny.error([s[:, others] for s in other], [s[:, others] for s in after]))
    return Observed(tiny.largest(errors))


def shaped_is_flat(component: Component) -> Observed:
    """Return the error of a layer of shape (2, 3) against one of size 6, from the same random numbers."""
    layers, like, errors = [], torch.zeros(1, dtype=torch.float64), []
    for shape in (6, (2, 3)):
        with tiny.seeded(3):
            layers.append(tiny.build(component, shape).double())
    states = []
    for layer in layers:
        with tiny.seeded(5):
            states.append(layer.initial_state(tiny.BATCH, like))
    generator = torch.Generator().manual_seed(5)
    for step in range(WALK):
        for name, flat, shaped in zip(states[0]._fields, *states, strict=True):
            if shaped.shape != (tiny.BATCH, 2, 3):
                return Observed(math.inf, f"{name} is {list(shaped.shape)} after {step} steps")
            errors.append((f"{name} after {step} steps", tiny.error([shaped.flatten(1)], [flat])))
        current = 2 * torch.randn(tiny.BATCH, layers[0].currents * 6, dtype=torch.float64, generator=generator)
        with torch.no_grad():
            states = [
                layer(current.view(tiny.BATCH, -1, *layer.shape[1:]), state)[1]
                for layer, state in zip(layers, states, strict=True)
            ]
    return worst(errors, "no step")


def partials_are_derivatives(component: Component) -> Observed:
    """Return the error of the claimed partials, composed to derivatives with respect to the state before, against the
    diagonal of the automatic ones."""
    neuron = neuron_of(component)
    automatic, errors = DiagonalRTRL(), []
    for current, state, _, after in walk(neuron):
        with torch.no_grad():
            claimed = neuron.partials(current, state, after)
        if claimed is None:
            raise DoesNotApplyError("it gives none")
        fields = list(state._asdict())
        a, b = composed(claimed, fields), composed(automatic.partials(neuron, current, state, after), fields)
        zero = current.new_zeros(tiny.BATCH, tiny.SIZE)
        for key in a.keys() | b.keys():
            ours, theirs = (torch.as_tensor(side.get(key, zero)).expand(tiny.BATCH, tiny.SIZE) for side in (a, b))
            errors.append((f"∂{key[0]}/∂{key[1]}", tiny.error([ours], [theirs])))
    return worst(errors, "no step")


def composed(partials: Partials, fields: list[str]) -> dict[tuple[str, str], Tensor]:
    """Return total derivatives of each field with respect to each field of the step before and each inflow."""
    total: dict[tuple[str, str], Derivative] = {}
    for source in (*fields, *partials.inflows):
        line: dict[str, Derivative] = {s: factor for (s, r), factor in partials.from_previous.items() if r == source}
        if source in partials.inflows:
            line = {s: squeezed(factor) for s, factor in partials.inflows[source].by_input.items()}
        for (s, q), factor in partials.within_step.items():
            if q in line:
                line[s] = line.get(s, 0.0) + factor * line[q]
        total |= {(s, source): factor for s, factor in line.items() if s in fields}
    return {key: torch.as_tensor(factor, dtype=torch.float64) for key, factor in total.items()}


def squeezed(factor: Derivative) -> Derivative:
    """Reshape [batch, 1, size] to [batch, size], for a neuron with one current."""
    return factor[:, 0] if isinstance(factor, Tensor) and factor.dim() == 3 else factor


def strong_enough(network: Recurrent) -> Tensor:
    """Return the input sequence, doubled as often as the neurons need to spike, at most ten times."""
    x = tiny.sequence()[0]
    with tiny.seeded(11), torch.no_grad():
        state = network.initial_state(x.shape[1])
    for _ in range(10):
        with torch.no_grad():
            if not network.spiking or stepped(network, x, state).spikes[0].any():
                break
        x = 2 * x
    return x


def kernel_is_steps(component: Component) -> Observed:
    """Return the error of two windows by the kernel, with the state carried from the first to the second, against plain
    steps: their outputs with and without gradients, and the gradients with respect to parameters, input and initial
    state. The first window has one step, or several."""
    if kernel_of(neuron_of(component)) is None:
        raise DoesNotApplyError("it has none")
    errors = list[tuple[str, float]]()
    for (readout, first), batch in zip(WINDOWS, (tiny.BATCH, *BATCHES), strict=True):
        with tiny.sized(tiny.with_batch(batch)):
            errors += kernel_errors(tiny.recurrent(component, readout=readout), first)
    return worst(errors, "no step")


def kernel_errors(network: Recurrent, first: int) -> Iterator[tuple[str, float]]:
    """Yield the errors of `kernel_is_steps` on a network, with a first window of so many steps."""
    x = strong_enough(network).requires_grad_()
    with tiny.seeded(11):
        state = network.initial_state(x.shape[1])
    state = stepped(network, tiny.sequence(seed=8)[0], state).state  # an initial state may be the same everywhere
    state = mapped(lambda s: s.detach().requires_grad_(), state)
    expected = stepped(network, x, state)
    by = [*(p for p in network.parameters() if p.requires_grad), x, *tensors(state)]
    case = f"{network.readouts[0].reads} read, {first} + {len(x) - first} steps, batch {x.shape[1]}"
    yield from ((f"{n}, {case}", e) for n, e in differences(two_windows(network, x, state, first), expected, by))
    with torch.no_grad():
        without = two_windows(network, x, state, first)
    yield from ((f"{n} without gradients, {case}", e) for n, e in differences(without, expected))


def one_step_is_step(component: Component) -> Observed:
    """Return the error of the neuron's own single steps, for readouts of spikes and of membranes."""
    errors = []
    for readout, batch in zip(("spikes", "membrane"), BATCHES[1:], strict=True):
        with tiny.sized(tiny.with_batch(batch)):
            network = tiny.recurrent(component, readout=readout)
            x = strong_enough(network)
            with tiny.seeded(11):
                error = one_step_error(network, x, network.initial_state(x.shape[1]))
        if error is None:
            raise DoesNotApplyError("it has none")
        errors.append((f"{readout} read, batch {batch}", error))
    return worst(errors, "no step")


def smooth_gradient(component: Component) -> Observed:
    return Observed(smooth_error(tiny.recurrent(component), *tiny.sequence(SMOOTH_STEPS), Classification(tiny.CLASSES)))


def learns(component: Component) -> Observed:
    """Count parameters of the neuron, and of its input synapses, without a gradient in BPTT."""
    network = tiny.recurrent(component)
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    x, target, task = strong_enough(network), tiny.sequence()[1], Classification(tiny.CLASSES)
    gradients = tiny.backprop(network, x, target, task, "every")
    dead = [
        name
        for name, g in zip(names, gradients, strict=True)
        # Weights that read spikes have no gradient where there are no spikes.
        if name.startswith(("layers.0.neuron", "layers.0.inward")) and not float(g.abs().max()) > 0
    ]
    return Observed(len(dead), ", ".join(dead))


def diagonal_is_exact(component: Component) -> Observed:
    """Return the error of diagonal real-time recurrent learning against BPTT, of all parameters, for one layer without
    recurrent weights, where no neuron depends on another."""
    network, rule = tiny.recurrent(component), DiagonalRTRL(loss_at="every")
    if not network.layers[0].neuron.elementwise:
        raise DoesNotApplyError("its neurons depend on each other")
    task, x, target = Classification(tiny.CLASSES), strong_enough(network), tiny.sequence()[1]
    if reason := rule.supports(network, task, len(x)):
        raise DoesNotApplyError(reason)
    drawn = exactness(rule, network, x, target, task)
    for R in recurrent_weights(network.layers[0]):
        R.zero_()
    return Observed(exactness(rule, network, x, target, task), f"R as drawn {drawn:.1g}")


def exactness(rule: LearningRule, network: Recurrent, x: Tensor, target: Tensor, task: Task) -> float:
    exact = tiny.backprop(network, x, target, task, "every")
    return tiny.error(tiny.learn(rule, network, (x, target), task).total(), exact)


def gradients_in(component: Component, dtype: torch.dtype) -> Sequence[Tensor]:
    x, target = tiny.sequence()
    loss = Classification(tiny.CLASSES).loss
    return window_tensors(tiny.recurrent(component), x, lambda y: loss(cast(Tensor, y), target.repeat(len(x))), dtype)


def facts(component: Component) -> tuple[Fact, ...]:
    """Return the facts of a neuron."""
    return (
        Fact("state is [batch, size] and finite", 0, well_formed),
        Fact("spikes are 0 or 1", 0, spikes_are_spikes),
        Fact("a step is a pure function", 0, pure),
        Fact("samples do not mix", 1e-12, samples_apart),
        Fact("its reset is as declared", 0, resets_as_declared),
        Fact("neurons do not mix, as declared", 0, elementwise),
        Fact("a layer of shape (2, 3) = one of size 6", 1e-12, shaped_is_flat),
        Fact("claimed partials = autograd", 1e-12, partials_are_derivatives),
        Fact("compiled window = steps, with gradients", 1e-12, kernel_is_steps),
        Fact("compiled step = step, with gradients", 1e-12, one_step_is_step),
        Fact("smoothed gradient = finite differences", 1e-6, smooth_gradient),
        Fact("every parameter gets a gradient", 0, learns),
        Fact("without R: diagonal RTRL = BPTT", 1e-12, diagonal_is_exact),
        in_both(gradients_in),
    )
