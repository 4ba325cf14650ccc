"""Linear recurrent unit."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.numerics.equations.operations import cos, exp, sin
from throughtime.registry import neuron, refuse_reversed


class LRUState(NamedTuple):
    """Imaginary part of the unit, and its real part twice, as v and as z, [batch, size]."""

    w: Tensor
    v: Tensor
    z: Tensor


@neuron("lru")
class LRU(Neuron):
    """Linear recurrent unit: a complex state that is multiplied by a trained λ at each step.

        x_t = λ x_{t−1} + γ (I_t + i J_t),        λ = r exp(i φ),        z_t = v_t = Re x_t
        r = exp(−exp(ν̂)),        φ = exp(φ̂),        γ = exp(γ̂)

    I and J are the two currents of a unit, the real and imaginary parts of B u_t in the source; w is Im x. Each unit
    has trained ν̂, φ̂ and γ̂. The unit does not spike. Without recurrent weights no unit depends on another, so that
    rules with traces per neuron compute the exact gradient, which is the reason for the unit; R z_{t−1} of a recurrent
    layer adds a dependence that they drop. Cost: about 8 elementwise operations per step; state 3 × size numbers.
    Source: Orvieto et al. 2023; Zucchet et al. 2023, with the initial distributions of their released code
    (online_lru/rec_init.py): λ uniform in the ring r_min < |λ| < r_max with a phase below φ_max, and γ = √(1 − |λ|²).
    There readouts are Re(C x) with a complex C and so read Im x, too; here a second unit with the same λ and the
    currents (J, −I) supplies it.

    Args:
        shape: units, their number or their arrangement.
        r_min, r_max: range of |λ|.
        phase_max: φ_max, largest initial phase of λ, in rad.

    Raises:
        ValueError: r_min exceeds r_max.

    Example:
        >>> neuron = tt.neuron_type("lru")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 2 * 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('w', 'v', 'z'))

    References:
        Orvieto et al. 2023: https://doi.org/10.48550/arXiv.2303.06349
        Zucchet et al. 2023: https://doi.org/10.48550/arXiv.2305.15947
    """

    currents: ClassVar[int] = 2
    spiking: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    def __init__(
        self,
        shape: Shape,
        *,
        r_min: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        r_max: Annotated[float, Field(gt=0, le=1)] = 1.0,
        phase_max: PositiveFloat = 2 * math.pi,
    ) -> None:
        super().__init__(shape)
        refuse_reversed("r_min", r_min, "r_max", r_max)
        ν = -0.5 * torch.log((r_min**2 + (r_max**2 - r_min**2) * torch.rand(self.shape)).clamp(1e-6, 1 - 1e-6))
        self.nu = nn.Parameter(ν.log())
        self.phase = nn.Parameter((phase_max * torch.rand(self.shape)).clamp(min=1e-6).log())
        self.gain = nn.Parameter(0.5 * torch.log(1 - torch.exp(-2 * ν)))

    def initial_state(self, batch: int, like: Tensor) -> LRUState:
        zeros = like.new_zeros(batch, *self.shape)
        return LRUState(w=zeros, v=zeros, z=zeros)

    def step(self, I: tuple[Tensor, Tensor], s: LRUState) -> LRUState:
        r, φ, γ = exp(-exp(self.nu)), exp(self.phase), exp(self.gain)
        a, b = r * cos(φ), r * sin(φ)
        v = a * s.v - b * s.w + γ * I[0]
        w = b * s.v + a * s.w + γ * I[1]
        return LRUState(w, v, z=v)
