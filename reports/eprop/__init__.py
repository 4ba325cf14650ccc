"""Bellec et al. 2020: e-prop, with the reference losses of NEST's tests, pattern generation, evidence accumulation."""
