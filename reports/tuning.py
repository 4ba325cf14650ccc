"""Sentences of tables and figures on tuned cells: their trials, and values at the edge of their grid."""

from __future__ import annotations

import pandas as pd

from throughtime.reports.cells import KEYS, extent


def tuning_sentence(runs: pd.DataFrame) -> list[str]:
    """Return a sentence on the trials of tuned cells, and on those whose chosen value is at the edge of its grid.

    Args:
        runs: rows of `Results.frame` or of `summarise`.

    Returns:
        A list of one sentence; empty if no cell is tuned.
    """
    tuned = runs[runs["trials"] > 0].drop_duplicates(KEYS)
    if tuned.empty:
        return []
    trials, edge = extent(tuned["trials"]), int((tuned["edge"] != "").sum())
    return [
        f"Tuned: {trials} trials a cell; at the edge of its grid: the chosen value of {edge} of {len(tuned)} cells."
    ]


def starred(runs: pd.DataFrame) -> set[tuple[str, ...]]:
    """Return the `KEYS` of the cells whose chosen value is at the edge of its grid: they have a star in figures."""
    return {tuple(key) for key in runs.loc[runs["edge"] != "", KEYS].itertuples(index=False)}


def star_sentence(runs: pd.DataFrame) -> list[str]:
    """Return `tuning_sentence` for the notes of a figure in which the cells at an edge have a star."""
    stars = " These have a star." if starred(runs) else ""
    return [f"{sentence}{stars}" for sentence in tuning_sentence(runs)]
