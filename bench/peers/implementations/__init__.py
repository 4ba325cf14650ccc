"""Implementations of the workloads: one file for each library."""
