"""Facts on memory collect garbage often: collections skip what earlier tests left, compiled loops above all."""

import gc

import pytest
import torch._dynamo  # noqa: F401  the first optimiser would import it, with its objects, after the others are frozen


@pytest.fixture(autouse=True, scope="module")
def few_objects():
    gc.collect()
    gc.freeze()
