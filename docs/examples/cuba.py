"""A neuron that is not in the package."""

from typing import ClassVar, NamedTuple

from torch import Tensor

from throughtime import neuron
from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import spike


class CubaState(NamedTuple):
    """Synaptic current, membrane potential, spikes."""

    i: Tensor
    v: Tensor
    z: Tensor


@neuron("cuba")
class Cuba(Neuron):
    """Current-based LIF neuron: i_t = γ i_{t−1} + I_t,  v_t = α v_{t−1} + (1 − α) i_t − θ z_{t−1}."""

    elementwise: ClassVar[bool] = True  # a step depends on no other neuron: online rules are faster; a check tests it

    def __init__(self, shape: Shape, *, gamma: float = 0.5, alpha: float = 0.9, threshold: float = 0.1) -> None:
        super().__init__(shape)
        self.gamma, self.alpha, self.threshold = gamma, alpha, threshold

    def initial_state(self, batch: int, like: Tensor) -> CubaState:
        return CubaState(*(like.new_zeros(batch, *self.shape) for _ in range(3)))

    def step(self, I: Tensor, s: CubaState) -> CubaState:
        i = self.gamma * s.i + I
        v = self.alpha * s.v + (1 - self.alpha) * i - self.threshold * s.z
        return CubaState(i, v, z=spike(v / self.threshold - 1, "multi_gaussian"))
