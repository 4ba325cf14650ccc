"""Figures are drawn by the hundred: their PDFs name fonts that every viewer has.

To embed subsets takes half of the time of a figure; test_figures.py has a figure with them.
"""

import pytest

from throughtime.reports import drawing


@pytest.fixture(autouse=True)
def core_fonts(monkeypatch):
    monkeypatch.setitem(drawing.SETTINGS, "pdf.use14corefonts", True)
