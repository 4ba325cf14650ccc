"""The numbers of influence balancing, computed from its equations."""

from __future__ import annotations

from throughtime.reports.influence_balancing.experiment import derivatives, descend, losses
from throughtime.reports.influence_balancing.experiment import turning_window as turning_window


def limit() -> float:
    return float(derivatives(200)[-1])


def largest() -> float:
    return float(derivatives(200).max())


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
