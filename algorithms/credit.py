"""The cost of credit: what a rule computes for a batch besides the steps forward."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from throughtime.networks.products import Product


class Credit(NamedTuple):
    """Matrix products and memory traffic of a rule for one batch of sequences, its steps forward left out."""

    products: Counter[Product]
    """Number of products of each shape."""
    contains: str
    """A few words on what is counted."""
    updates: int = 1
    """Calls of `update`."""
    traces: int = 0
    """Bytes of the traces that are read and written once a step."""
    copies: int = 0
    """Copies of the trained parameters that the rule keeps, and reads and writes in an update."""
