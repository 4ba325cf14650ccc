"""What the first optimiser imports is there before the first test, so that collections of garbage skip its objects."""

import torch._dynamo  # noqa: F401
