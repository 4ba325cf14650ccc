"""Neuron types, one per file, and surrogate gradients (`surrogate.py`). The contract of `base.py` is exported here."""

from throughtime.neurons.base import Derivative, InputJacobian, Neuron, Partials

__all__ = ["Derivative", "InputJacobian", "Neuron", "Partials"]
