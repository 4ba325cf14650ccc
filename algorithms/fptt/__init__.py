"""Forward propagation through time."""

from throughtime.algorithms.fptt.fptt import FPTT

__all__ = ["FPTT"]
