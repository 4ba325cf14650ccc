"""Neuron types: one a file; `surrogate.py` has the surrogate gradients. The contract, defined in `base.py`, is exported
here.
"""

from throughtime.neurons.base import Derivative, InputJacobian, Neuron, Partials

__all__ = ["Derivative", "InputJacobian", "Neuron", "Partials"]
