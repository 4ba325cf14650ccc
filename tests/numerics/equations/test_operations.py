"""Each function of the table of operations: its derivative is autograd's, and a compiled loop computes it, too."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from throughtime.neurons.base import Neuron
from throughtime.neurons.kernels.kernel import Kernel, kernel_of
from throughtime.neurons.surrogate import spike
from throughtime.numerics.equations import operations
from throughtime.numerics.equations.adjoint import adjoint
from throughtime.numerics.equations.evaluate import evaluate
from throughtime.numerics.equations.expression import ONE, Expression, Level

FUNCTIONS = {
    "σ": (operations.σ, torch.sigmoid),
    "tanh": (operations.tanh, torch.tanh),
    "exp": (operations.exp, torch.exp),
    "sqrt": (operations.sqrt, torch.sqrt),
    "sin": (operations.sin, torch.sin),
    "cos": (operations.cos, torch.cos),
    "abs": (operations.absolute, torch.abs),
}
INPUTS = {"sqrt": [0.01, 0.3, 1.7, 9.0, 100.0]}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_derivative_are_those_of_pytorch(name):
    function, torch_function = FUNCTIONS[name]
    a = Expression("input", name="a", level=Level.SAMPLE)
    x = torch.tensor(INPUTS.get(name, [-7.3, -0.4, 0.0, 0.3, 2.9]), dtype=torch.float64, requires_grad=True)
    y = function(a)
    value, derivative = evaluate([y, adjoint({y: ONE}, [a])[a]], {a: x.detach()})
    expected = torch_function(x)
    (by_autograd,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-15, atol=0)
    torch.testing.assert_close(derivative, by_autograd, rtol=1e-13, atol=1e-15)


class State(NamedTuple):
    v: Tensor
    z: Tensor


class Uses(Neuron):
    """v_t = f(1/2 + I_t²), z_t = H(v_t − 1/2)."""

    elementwise = True

    def __init__(self, size: int, name: str) -> None:
        super().__init__(size)
        self.name = name

    def initial_state(self, batch: int, like: Tensor) -> State:
        return State(*like.new_zeros(2, batch, *self.shape))

    def step(self, I: Tensor, s: State) -> State:
        v = FUNCTIONS[self.name][0](0.5 + I * I)
        return State(v, z=spike(v - 0.5, "arctan"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_loops_compute_the_function(name):
    neuron = Uses(4, name)
    assert kernel_of(neuron) is Kernel
    I = torch.randn(1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    kernel, Z = Kernel(neuron, I.clone(), True, ("v",)), torch.empty(1, 3, 4, dtype=torch.float64)
    kernel.begin(neuron.initial_state(3, I), Z)
    assert kernel.compiled
    kernel.step(0, kernel.I[0], Z[0], Z[0])
    torch.testing.assert_close(kernel.membranes(), FUNCTIONS[name][1](0.5 + I * I), rtol=1e-14, atol=1e-15)
