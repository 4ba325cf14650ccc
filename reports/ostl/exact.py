"""The identity of OSTL and BPTT on some chorales, in seconds; the suite `ostl_identity` has it on all of them."""

from __future__ import annotations

from throughtime.reports.papers.stored import stored


@stored
def identity(with_H: bool = True) -> float:
    """Return the largest difference over 10 epochs of the first 30 steps of 8 chorales, with 12 units."""
    from throughtime.datasets.music import JSBChorales  # imports torch
    from throughtime.reports.ostl.experiment import largest_difference

    chorales = JSBChorales(steps=30)
    chorales.limit = {"train": 8}
    return largest_difference(chorales, units=12, epochs=10, with_H=with_H)
