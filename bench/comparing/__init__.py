"""Comparison of two sets of results cell by cell, gates on the outcome, and committed baselines."""
