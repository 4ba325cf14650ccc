"""A neuron that is not in the package."""

from typing import ClassVar, NamedTuple

from torch import Tensor

from throughtime import neuron
from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import spike


class AlphaSynapseState(NamedTuple):
    """Two stages of the synaptic current, membrane potential, spikes."""

    r: Tensor
    i: Tensor
    v: Tensor
    z: Tensor


@neuron("alpha_synapse")
class AlphaSynapse(Neuron):
    """LIF neuron whose synaptic current rises and decays as an alpha function.

    r_t = γ r_{t−1} + I_t,  i_t = γ i_{t−1} + (1 − γ) r_t,  v_t = α v_{t−1} + (1 − α) i_t − θ z_{t−1}.
    """

    elementwise: ClassVar[bool] = True  # a step depends on no other neuron: online rules are faster; a check tests it

    def __init__(self, shape: Shape, *, gamma: float = 0.5, alpha: float = 0.9, threshold: float = 0.1) -> None:
        super().__init__(shape)
        self.gamma, self.alpha, self.threshold = gamma, alpha, threshold

    def initial_state(self, batch: int, like: Tensor) -> AlphaSynapseState:
        return AlphaSynapseState(*(like.new_zeros(batch, *self.shape) for _ in range(4)))

    def step(self, I: Tensor, s: AlphaSynapseState) -> AlphaSynapseState:
        r = self.gamma * s.r + I
        i = self.gamma * s.i + (1 - self.gamma) * r
        v = self.alpha * s.v + (1 - self.alpha) * i - self.threshold * s.z
        return AlphaSynapseState(r, i, v, z=spike(v / self.threshold - 1, "multi_gaussian"))
