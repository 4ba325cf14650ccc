"""The numbers of influence balancing, computed from its equations."""

from __future__ import annotations

from throughtime.reports.influence_balancing.descent import derivatives, descend, losses
from throughtime.reports.influence_balancing.descent import turning_window as turning_window
from throughtime.reports.papers.stored import stored


def limit() -> float:
    return float(derivatives(200)[-1])


def largest() -> float:
    return float(max(derivatives(200)))


def first_loss() -> float:
    return float(losses(descend(1, "tbptt", updates=0))[0])


def rtrl() -> float:
    return float(descend(1, "rtrl")[-1])


def tbptt_1() -> float:
    return float(descend(1, "tbptt")[-1])


def tbptt_10() -> float:
    return float(descend(10, "tbptt", updates=1000)[-1])


def tbptt_100() -> float:
    return float(descend(100, "tbptt")[-1])


@stored
def uoro(seed: int) -> float:
    """Return θ after UORO's updates with the signs of a seed."""
    from throughtime.reports.influence_balancing.experiment import descend_uoro, drawn_signs  # imports torch

    return float(descend_uoro(drawn_signs(seed))[-1])
