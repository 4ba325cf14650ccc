"""Summe, Schaefer and Joshi 2023: online training with postsynaptic estimates (OTPE)."""
