"""Facts on memory collect garbage often: collections skip what earlier tests left, compiled loops above all."""

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def few_objects():
    gc.collect()
    gc.freeze()
