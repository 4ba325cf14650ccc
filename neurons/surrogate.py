"""Surrogate gradients: the spike is a step function; its backward pass uses a smooth h(x) instead of the delta.

Each surrogate comes with the smooth function whose derivative it is. Within `smoothed()` spikes are that function and
nothing is held constant, so that the gradient of a network is exact and can be compared with finite differences. On
tensors `triangle` and `multi_gaussian` take one pass over memory where compiled loops can run; in the loops of neurons
all surrogates do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args

import torch
from pydantic import Discriminator, PositiveFloat, Tag
from torch import Tensor

from throughtime.numerics.equations.expression import ZERO, Expression
from throughtime.numerics.equations.operations import OPERATIONS, Operation
from throughtime.numerics.exp2 import exp2
from throughtime.numerics.loops import compiled, prange, runs_compiled
from throughtime.spec import Strict

Value = TypeVar("Value", Tensor, Expression)
SurrogateName = Literal[
    "multi_gaussian", "wide_multi_gaussian", "double_gaussian", "triangle", "fast_sigmoid", "exponential", "arctan"
]


class ScaledSurrogate(Strict):
    """A surrogate of another slope k or height A: h(x) = A ĥ(k x), with ĥ(0) = 1.

    ĥ(u) is (1 + |u|)⁻² for fast_sigmoid, max(0, 1 − |u|) for triangle, exp(−|u|) for exponential, 1 / (1 + u²) for
    arctan; k is 1/l for sums of Gaussians.
    """

    name: SurrogateName
    """Name of the surrogate."""
    slope: PositiveFloat | None = None
    """k, factor of x; null: that of the surrogate."""
    height: PositiveFloat | None = None
    """A, the value at x = 0; null: that of the surrogate."""


SurrogateOption = Annotated[
    Annotated[SurrogateName, Tag("name")] | Annotated[ScaledSurrogate, Tag("mapping")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "mapping"),
]
"""Option of neurons: a surrogate by its name, or with its slope and height."""
ROW = 4096
"""Number of elements that a thread processes at once."""


class Surrogate(NamedTuple):
    """A surrogate gradient h(x), and its antiderivative S(x), S′ = h."""

    h: Callable[[Tensor], Tensor]
    smooth: Callable[[Tensor], Tensor]
    slope: float
    """k of `ScaledSurrogate`."""
    in_loops: tuple[int, tuple[float, ...]]
    """Index of the surrogate in `h_of_row`, and its constants."""


def multi_gaussian(x: Tensor, width: float = 0.3) -> Tensor:
    """h(x) = γ [(1+η) g(x; 0, l) − η g(x; l, s·l) − η g(x; −l, s·l)], g(x; μ, ς) the normal density.

    γ = 0.5, s = 6, η = 0.15; l is `width`, 0.3 in Yin, Corradi and Bohte 2023 (h(0) = 0.731853) and 0.5, here called
    wide_multi_gaussian, in their ASRNN of 2021 (h(0) = 0.439112). Source: their released code.
    """
    l, narrow, wide, c_narrow, c_wide = _gaussians(width)
    if runs_compiled(x):
        h = torch.empty_like(x)
        multi_gaussian_of_each(x, h, l, narrow, wide, c_narrow, c_wide)
        return h

    # On CPUs exp2 is several times faster than exp, most of all where the result is nearly 0.
    def g(x: Tensor, exponent: float, factor: float) -> Tensor:
        return x.square().mul_(exponent).exp2_().mul_(factor)

    return g(x, narrow, c_narrow).sub_(g(x - l, wide, c_wide).add_(g(x + l, wide, c_wide)))


def _gaussians(l: float) -> tuple[float, ...]:
    """Return l, the coefficients of x² in the exponents of 2, narrow and wide, and the factors of the powers."""
    γ, s, η = 0.5, 6.0, 0.15
    narrow, wide = ((-math.log2(math.e) / (2 * ς**2), γ / (ς * math.sqrt(2 * math.pi))) for ς in (l, s * l))
    return l, narrow[0], wide[0], (1 + η) * narrow[1], η * wide[1]


@compiled
def multi_gaussian_of_each(
    x: Any, h: Any, l: float, narrow: float, wide: float, c_narrow: float, c_wide: float
) -> None:
    """h ← h(x) of multi_gaussian for each element of an array."""
    x = x.ravel()
    h = h.ravel()
    for part in prange((len(x) + ROW - 1) // ROW):
        first, last = part * ROW, (part + 1) * ROW
        multi_gaussian_row(x[first:last], h[first:last], l, narrow, wide, c_narrow, c_wide)


@compiled
def multi_gaussian_row(x: Any, h: Any, l: float, narrow: float, wide: float, c_narrow: float, c_wide: float) -> None:
    """h ← h(x) of multi_gaussian for a row. A function of a single number would prevent vector instructions."""
    for i in range(len(x)):
        left, right = x[i] + l, x[i] - l
        sides = exp2(wide * left * left) + exp2(wide * right * right)
        h[i] = c_narrow * exp2(narrow * x[i] * x[i]) - c_wide * sides


def _smooth_multi_gaussian(x: Tensor, width: float = 0.3) -> Tensor:
    γ, l, s, η = 0.5, width, 6.0, 0.15
    Φ = torch.special.ndtr
    return γ * ((1 + η) * Φ(x / l) - η * (Φ((x - l) / (s * l)) + Φ((x + l) / (s * l))))


def double_gaussian(x: Tensor) -> Tensor:
    """h(x) = γ [(1+η) g(x; 0, l) − 2η g(x; 0, s·l)], γ = 0.5, s = 6, η = 0.15, l = 0.5.

    Both normal densities are centred, unlike those of multi_gaussian. Source: Higuchi et al. 2024, released code
    (snn/functional/autograd.py, StepDoubleGaussianGrad).
    """
    _, narrow, wide, c_narrow, c_wide = _gaussians(0.5)
    square = x.square()
    return c_narrow * (narrow * square).exp2_() - 2 * c_wide * (wide * square).exp2_()


def _smooth_double_gaussian(x: Tensor) -> Tensor:
    γ, l, s, η = 0.5, 0.5, 6.0, 0.15
    Φ = torch.special.ndtr
    return γ * ((1 + η) * Φ(x / l) - 2 * η * Φ(x / (s * l)))


def triangle(x: Tensor) -> Tensor:
    """h(x) = γ max(0, 1 − |x|), γ = 0.3. Source: Bellec et al. 2020, Methods."""
    if runs_compiled(x):
        h = torch.empty_like(x)
        triangle_of_each(x, h, 0.3)
        return h
    return torch.relu_(torch.rsub(x.abs(), 0.3, alpha=0.3))  # γ − γ |x| in one pass


@compiled
def triangle_of_each(x: Any, h: Any, γ: float) -> None:
    """h ← h(x) of triangle for each element of an array."""
    x = x.ravel()
    h = h.ravel()
    for part in prange((len(x) + ROW - 1) // ROW):
        triangle_row(x[part * ROW : (part + 1) * ROW], h[part * ROW : (part + 1) * ROW], γ, γ)


@compiled
def triangle_row(x: Any, h: Any, γ: float, descent: float) -> None:
    """h ← max(0, γ − descent |x|) for a row."""
    zero = γ - γ  # in the precision of γ
    for i in range(len(x)):
        h[i] = max(γ - descent * abs(x[i]), zero)


def _smooth_triangle(x: Tensor) -> Tensor:
    x = x.clamp(-1, 1)
    return 0.3 * (0.5 + x - x * x.abs() / 2)


def fast_sigmoid(x: Tensor) -> Tensor:
    """h(x) = 1 / (1 + k |x|)², k = 25. Source: Zenke and Ganguli 2018, with the slope of snntorch."""
    return 1 / (1 + 25 * x.abs()).square()


def _smooth_fast_sigmoid(x: Tensor) -> Tensor:
    return x / (1 + 25 * x.abs())


def exponential(x: Tensor) -> Tensor:
    """h(x) = (c α / 2) exp(−α |x|), α = 5, c = 0.4.

    Source: Shrestha and Orchard 2018 (SLAYER); the constants are those of Baronig et al. 2025 (SE-adlif,
    models/helpers.py and models/alif.py).
    """
    return torch.exp(-5 * x.abs())  # c α / 2 = 1


def _smooth_exponential(x: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    left, right = torch.where(x > 0, zero, x), torch.where(x > 0, x, zero)  # each exponent is at most 0
    return torch.where(x > 0, 0.4 - 0.2 * torch.exp(-5 * right), 0.2 * torch.exp(5 * left))


def arctan(x: Tensor) -> Tensor:
    """h(x) = (α/2) / (1 + (π α x / 2)²), α = 2. Source: Fang et al. 2021."""
    return 1 / (1 + (math.pi * x).square())


def _smooth_arctan(x: Tensor) -> Tensor:
    return torch.atan(math.pi * x) / math.pi + 0.5


@compiled
def h_of_row(which: int, constants: Any, x: Any, h: Any) -> None:
    """h ← h(x) of a row of numbers, for the surrogate of index `which` with constants; compiled loops call it."""
    if which == 0:
        multi_gaussian_row(x, h, constants[0], constants[1], constants[2], constants[3], constants[4])
    elif which == 1:
        triangle_row(x, h, constants[0], constants[1])
    elif which == 2:
        for i in range(len(x)):
            slope = constants[0] + constants[1] * abs(x[i])
            h[i] = constants[0] / (slope * slope)
    elif which == 4:
        for i in range(len(x)):
            h[i] = constants[1] * exp2(constants[0] * abs(x[i]))
    else:
        for i in range(len(x)):
            h[i] = constants[2] / (constants[0] + (constants[1] * x[i]) * (constants[1] * x[i]))


SURROGATES: dict[SurrogateName, Surrogate] = {
    "multi_gaussian": Surrogate(multi_gaussian, _smooth_multi_gaussian, 1 / 0.3, (0, _gaussians(0.3))),
    "wide_multi_gaussian": Surrogate(
        lambda x: multi_gaussian(x, 0.5),
        lambda x: _smooth_multi_gaussian(x, 0.5),
        2.0,
        (0, _gaussians(0.5)),
    ),
    "double_gaussian": Surrogate(double_gaussian, _smooth_double_gaussian, 2.0, (0, (0.0, *_gaussians(0.5)[1:]))),
    "triangle": Surrogate(triangle, _smooth_triangle, 1.0, (1, (0.3, 0.3))),
    "fast_sigmoid": Surrogate(fast_sigmoid, _smooth_fast_sigmoid, 25.0, (2, (1.0, 25.0))),
    "exponential": Surrogate(exponential, _smooth_exponential, 5.0, (4, (-5 * math.log2(math.e), 1.0))),
    "arctan": Surrogate(arctan, _smooth_arctan, math.pi, (3, (1.0, math.pi, 1.0))),
}
assert set(SURROGATES) == set(get_args(SurrogateName))


def surrogate_key(surrogate: SurrogateOption | Mapping[str, Any]) -> str:
    """Return the text by which `surrogate_of` finds a surrogate: its name, or JSON of a `ScaledSurrogate`, which may be
    a mapping, as a run's spec has it."""
    return surrogate if isinstance(surrogate, str) else ScaledSurrogate.model_validate(surrogate).model_dump_json()


@lru_cache
def surrogate_of(key: str) -> Surrogate:
    """Return the surrogate of a key."""
    if key in SURROGATES:
        return SURROGATES[key]
    name, slope, height = ScaledSurrogate.model_validate_json(key).model_dump().values()
    h, smooth, natural, (which, defaults) = SURROGATES[name]
    k = (slope or natural) / natural
    at_0 = float(h(torch.zeros(1, dtype=torch.float64, device="cpu")))
    A = (height or at_0) / at_0
    constants: dict[int, Callable[..., tuple[float, ...]]] = {
        0: lambda l, narrow, wide, *rest: (l / k, narrow * k**2, wide * k**2, *(A * factor for factor in rest)),
        1: lambda γ, descent: (A * γ, A * k * descent),
        2: lambda c, d: (c / A, d * k / A),
        3: lambda c, d, a: (c, k * d, A * a),
        4: lambda exponent, a: (k * exponent, A * a),
    }
    return Surrogate(
        lambda x: A * h(k * x), lambda x: A / k * smooth(k * x), k * natural, (which, constants[which](*defaults))
    )


_smoothed: ContextVar[bool] = ContextVar("smoothed", default=False)


@contextmanager
def smoothed() -> Iterator[None]:
    """Context in which every spike is the smooth function of its surrogate, and `constant` is the identity."""
    token = _smoothed.set(True)
    try:
        yield
    finally:
        _smoothed.reset(token)


def is_smoothed() -> bool:
    """Return whether a `smoothed` context is active."""
    return _smoothed.get()


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, h: Callable[[Tensor], Tensor]) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Callable[[Tensor], Tensor]], output: Tensor) -> None:
        x, ctx.h = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad[0] * ctx.h(x), None


def spike(x: Value, surrogate: SurrogateOption | Mapping[str, Any]) -> Value:
    """Return H(x), with H(0) = 0, in the dtype of x; its gradient is h(x) of the surrogate."""
    key = surrogate_key(surrogate)
    if isinstance(x, Expression):
        return Expression("spike", (x,), name=key)
    if _smoothed.get():
        return surrogate_of(key).smooth(x)
    return _Spike.apply(x, surrogate_of(key).h)


def constant(z: Value) -> Value:
    """Return z, held constant: a term that a neuron excludes from its gradient, such as the reset."""
    if isinstance(z, Expression):
        return Expression("constant", (z,))
    return z if _smoothed.get() else z.detach()


def _no_derivative(y: Expression, x: Expression) -> tuple[Expression]:
    return (ZERO,)


OPERATIONS["spike"] = Operation(
    spike, "one if {0} > zero else zero", lambda y, x: (Expression("slope", (x,), name=y.name),)
)
OPERATIONS["slope"] = Operation(lambda x, key: surrogate_of(key).h(x), "", _no_derivative)
OPERATIONS["constant"] = Operation(constant, "{0}", _no_derivative)
