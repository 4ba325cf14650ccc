"""The single step derived from a neuron's equations, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from throughtime.neurons.base import Neuron
from throughtime.neurons.kernels.generated import constants_of, loops_of, surrogates_of
from throughtime.neurons.kernels.loops_of_step import slopes_of
from throughtime.neurons.kernels.one_step import SINGLE_STEPS, Gradients, NeuronOneStep
from throughtime.numerics.loops import bound


class GeneratedOneStep(NeuronOneStep):
    """Single steps of a layer of neurons that have equations."""

    def __init__(self, neuron: Neuron, I: Tensor, state: Any, gradients: Gradients, reads_v: bool) -> None:
        super().__init__(I, state)
        loops = loops_of(neuron)
        assert loops is not None
        constants = constants_of(loops.equations, neuron, I)
        places = [gradients.of(getattr(neuron, name)) for name in loops.equations.learnt]
        learnt = tuple(place.reshape(()) if place.numel() == 1 else place.reshape(-1) for place in places)
        surrogates = surrogates_of(slopes_of(loops.single_backward), I)
        δ = (self.δz, self.δv, self.δI)
        for now, before in self.turns():
            fields = tuple(getattr(now, f)[None] for f in loops.moving)
            for f in state._fields:
                if f not in loops.moving and f != "z":
                    getattr(now, f).copy_(getattr(before, f))
            z = now.z[None]
            step = bound(loops.single, 0, I[None], z, (*fields, z), (z,), tuple(before), constants)
            gradient = (I, tuple(before), tuple(now), δ, (*learnt, self.δI), constants, (*surrogates, 0))
            self.add_buffer(step, bound(loops.single_adjoint, *gradient))


def single_step_of(neuron: Neuron) -> Callable[..., NeuronOneStep] | None:
    """Return the single steps registered for exactly this class, or else those derived from the neuron's equations;
    None if there is neither."""
    registered = SINGLE_STEPS.get(type(neuron))
    return registered or (None if loops_of(neuron) is None else GeneratedOneStep)
