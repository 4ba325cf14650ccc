"""A cell of a suite: rule x neuron x network x dataset, with its training settings."""

from __future__ import annotations

from typing import NamedTuple

from throughtime.spec import ComponentSpec, Training

Labels = tuple[str, str, str, str]
"""Key of a cell: the labels of its rule, neuron, network and dataset."""


class CellSpec(NamedTuple):
    """Components and training of a cell; its replicates share them."""

    rule: ComponentSpec
    neuron: ComponentSpec
    network: ComponentSpec
    dataset: ComponentSpec
    training: Training
