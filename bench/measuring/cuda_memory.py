"""Peak of the memory of a CUDA device, by the statistics of PyTorch's caching allocator."""

from __future__ import annotations

import gc

import torch


class CudaPeak:
    """Context manager that measures the growth of a CUDA device's memory inside the block.

    PyTorch rounds sizes up to 512 bytes. Memory that libraries allocate by themselves, and the driver's context, do not
    count. Cached free blocks are released at the start, because growth could otherwise reuse them.

    Attributes:
        level: bytes of live tensors at the start of the block.
        allocated: peak bytes of live tensors minus the level, after the block.
        reserved: peak bytes that the allocator holds, cached free blocks included, minus those at the start.
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
