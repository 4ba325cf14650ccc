"""Neuron types: one a file; `base.py` has the contract, `surrogate.py` the surrogate gradients."""
