"""Comparison with other libraries on the same workloads: the command `throughtime peers`."""
