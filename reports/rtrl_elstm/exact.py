"""Gradients and bytes of real-time recurrent learning with a trace for each synapse, beside those of BPTT."""

from __future__ import annotations

from throughtime.reports.papers.stored import stored

SHORT, LONG = 100, 200
"""Steps between which the bytes of a step are counted: the rule computes blocks of 25 steps."""


@stored
def gradient_error(layers: int = 1, connected: bool = False) -> float:
    """Return the largest difference of the gradients of diagonal RTRL and BPTT over the largest of BPTT's, for eLSTM in
    float64 with a loss at every step.

    Args:
        layers: number of layers.
        connected: whether cells of a layer have recurrent weights to each other.
    """
    from throughtime.reports.layer_gradients import largest_difference  # imports torch
    from throughtime.reports.rtrl_elstm.experiment import gradient

    rtrl, bptt = (gradient(rule, layers, connected) for rule in ("diagonal_rtrl", "bptt"))
    return largest_difference([rtrl], [bptt])


@stored
def bytes_of_a_step(rule: str) -> float:
    """Return the exact bytes that a further step of the copy task needs beside its input and target."""
    from throughtime.reports.rtrl_elstm.experiment import bytes_without_data

    short, long = (bytes_without_data(rule, steps) for steps in (SHORT, LONG))
    return (long - short) / (LONG - SHORT)
