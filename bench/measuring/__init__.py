"""Measurements: time, memory, activity, gradient alignment, the floor of a run's time."""
