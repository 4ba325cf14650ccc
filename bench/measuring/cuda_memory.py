"""Peak of the memory of a CUDA device, by the statistics of PyTorch's caching allocator."""

from __future__ import annotations

import gc

import torch


class CudaPeak:
    """What the device's memory grows by in a `with` block, over its level as the block begins.

    Exact for what PyTorch asks for: sizes are rounded up to 512 bytes, and scratch that libraries take past the
    allocator, the driver's context included, is not seen. Blocks that were freed before are given back first, or growth
    could hide in them.

    Attributes:
        level: bytes of the device's living tensors as the block begins.
        allocated: peak of the bytes of living tensors, less the level; there when the block is over.
        reserved: peak of what the allocator holds of the device, freed blocks that it keeps included, less what it
            held as the block began.
    """

    def __enter__(self) -> CudaPeak:
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        self.level, self._reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
        return self

    def __exit__(self, *error: object) -> None:
        torch.cuda.synchronize()
        self.allocated = torch.cuda.max_memory_allocated() - self.level
        self.reserved = torch.cuda.max_memory_reserved() - self._reserved
