"""The cost of credit assignment: the work of a rule on a batch besides the forward steps."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from throughtime.networks.products import Product


class Credit(NamedTuple):
    """Matrix products and memory traffic of a rule for one batch of sequences, without the forward steps."""

    products: Counter[Product]
    """Number of products of each shape."""
    contains: str
    """A short description of the counted work."""
    updates: int = 1
    """Number of calls of `update`."""
    traces: int = 0
    """Bytes of the traces."""
    carries: int = 0
    """How often the traces are written, to be read later."""
    copies: int = 0
    """Number of copies of the trained parameters that each update reads and writes."""
