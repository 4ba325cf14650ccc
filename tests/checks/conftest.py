"""Imports of the first optimiser precede the first test, so that collections of garbage skip their objects."""

import torch._dynamo  # noqa: F401
