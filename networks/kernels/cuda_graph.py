"""Windows replayed as CUDA graphs: what a window's steps launch is recorded once a shape, and then sent as one.

On a GPU a step of a small layer takes longer to launch than to compute. Of a window that a network unrolls again and
again, forward and backward are each recorded (Nguyen et al. 2021, "Accelerating PyTorch with CUDA Graphs") and replayed
on the memory of the recording: inputs are copied into it, results and gradients out of it, for the next replay
overwrites them. The kernels are the same, and so are the numbers.

Not run here: no CUDA device was at hand. What is not CUDA's own is tested with a recording on the processor.
"""

from __future__ import annotations

import copy
import functools
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from throughtime.networks.base import Network, Window, mapped, tensors

WARM_UP = 3
"""Runs before a recording, on a stream beside: libraries set themselves up, which cannot be recorded."""
MOST = 8
"""Shapes that are recorded: each holds the memory of its window. Others go step by step."""

Tensors = Sequence[Tensor]
Gradients = Sequence[Tensor | None]


class Recording(NamedTuple):
    """A way forward and, if there is one, the way back; both can be done again, into the same results."""

    shown: Tensors
    forward: Callable[[], None]
    gradients: Gradients = ()
    backward: Callable[[], None] | None = None


Record = Callable[[Callable[[], Tensors], Callable[[Tensors], Gradients] | None], Recording]
"""From a way forward, and the way back from what that shows."""


def record_on_cuda(forward: Callable[[], Tensors], backward: Callable[[Tensors], Gradients] | None) -> Recording:
    """Two graphs that share their memory: what the way forward keeps is there for the way back."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UP):
            shown = forward()
            if backward is not None:
                backward(shown)
    torch.cuda.current_stream().wait_stream(beside)
    del shown
    there, back = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(there):
        shown = forward()
    if backward is None:
        return Recording(shown, there.replay)
    with torch.cuda.graph(back, pool=there.pool()):
        gradients = backward(shown)
    return Recording(shown, there.replay, gradients, back.replay)


class ReplayedUnroll:
    """A network's `unroll`, whose windows are replayed from their second time on, by shape, weights and whether there
    will be a way back.

    Step by step go: networks that are not `replayable`; windows through which a gradient goes on to x or to the state
    before; those seen under a mode that watches operations; a window while the one before it still waits for its way
    back; and all of them once a recording has failed, which is said once.

    Args:
        network: its own `unroll` is taken from its class.
        record: how.
    """

    def __init__(self, network: Network, record: Record = record_on_cuda) -> None:
        self.network, self.record, self.failed = network, record, False
        self.seen: Counter[Hashable] = Counter()
        self.windows: dict[Hashable, RecordedWindow] = {}

    def __call__(self, x: Tensor, state: Any) -> Window:
        window = self._recorded(x, state)
        return self._step_by_step(x, state) if window is None or window.waits() else window(x, state)

    def __deepcopy__(self, memo: dict[int, Any]) -> ReplayedUnroll:
        return ReplayedUnroll(copy.deepcopy(self.network, memo), self.record)

    def _step_by_step(self, x: Tensor, state: Any) -> Window:
        return type(self.network).unroll(self.network, x, state)

    @functools.cached_property
    def _weights(self) -> list[Tensor]:
        return [*self.network.parameters(), *self.network.buffers()]

    def _recorded(self, x: Tensor, state: Any) -> RecordedWindow | None:
        given = (x, *tensors(state))
        watched = torch._C._len_torch_dispatch_stack() > 0
        if self.failed or watched or not self.network.replayable or any(one.requires_grad for one in given):
            return None
        back = torch.is_grad_enabled()
        key = (
            back,
            self.network.training,
            *((one.shape, one.dtype) for one in given),
            *((w.data_ptr(), w.requires_grad) for w in self._weights),
        )
        if key not in self.windows:
            self.seen[key] += 1
            if self.seen[key] == 1 or len(self.windows) == MOST:
                return None
            learnt = [w for w in self._weights if w.requires_grad] if back else []
            try:
                self.windows[key] = RecordedWindow(self._step_by_step, x, state, learnt, self.record)
            except RuntimeError as error:
                why = str(error).partition("\n")[0]
                print(f"windows are not replayed as CUDA graphs, they go step by step: {why}", flush=True)
                self.failed = True
                return None
        return self.windows[key]


class RecordedWindow:
    """One window, recorded.

    Args:
        unroll: what is recorded.
        x, state: as it will be given them.
        learnt: what gradients are asked of; empty: there will be no way back.
        record: how.
    """

    def __init__(
        self,
        unroll: Callable[[Tensor, Any], Window],
        x: Tensor,
        state: Any,
        learnt: Sequence[Tensor],
        record: Record,
    ) -> None:
        self.learnt = learnt
        self.x, self.state = x.clone(), mapped(Tensor.clone, state)
        self.δ: list[Tensor | None] = []
        self._waiting: Callable[[], _Way | None] = lambda: None

        def forward() -> Tensors:
            window = unroll(self.x, self.state)
            return [window.outputs, *window.spikes, *tensors(window.state)]

        def backward(shown: Tensors) -> Gradients:
            # Made while it warms up: in memory that belongs to no recording.
            self.δ = self.δ or [torch.zeros_like(one) if one.requires_grad else None for one in shown]
            reached = [one for one in shown if one.requires_grad]
            return torch.autograd.grad(reached, learnt, [δ for δ in self.δ if δ is not None], allow_unused=True)

        self.recording = record(forward, backward if learnt else None)
        # Without the graph: what it keeps belongs to the recording.
        self.recording = self.recording._replace(shown=[one.detach() for one in self.recording.shown])

    def __call__(self, x: Tensor, state: Any) -> Window:
        for slot, given in zip((self.x, *tensors(self.state)), (x, *tensors(state)), strict=True):
            slot.copy_(given)
        found: Iterator[Tensor] = iter(_Replayed.apply(self, *self.learnt) if self.learnt else self.forward())
        layers = len(self.recording.shown) - 1 - len(tensors(state))
        outputs, spikes = next(found), tuple(next(found) for _ in range(layers))
        after = mapped(lambda _: next(found), state)
        return Window(outputs, spikes, after._replace(t=state.t + len(x)))

    def waits(self) -> bool:
        """Whether a way back is still to come, which the next way forward would spoil."""
        return self._waiting() is not None

    def forward(self) -> list[Tensor]:
        """What the window shows, in memory of its own."""
        self.recording.forward()
        return [one.clone() for one in self.recording.shown]

    def way_back(self) -> _Way:
        """To be given to `backward`; as long as somebody holds it the window waits."""
        way = _Way()
        self._waiting = weakref.ref(way)
        return way

    def backward(self, way: _Way, δ: Gradients) -> list[Tensor | None]:
        """Gradients of what is learnt, in memory of their own."""
        if self._waiting() is not way:
            raise RuntimeError("the way back through a window that is replayed can be gone once")
        self._waiting = lambda: None
        for slot, given in zip(self.δ, δ, strict=True):
            if slot is not None:
                slot.zero_() if given is None else slot.copy_(given)
        self.recording.backward()
        return [None if g is None else g.clone() for g in self.recording.gradients]


class _Way:
    """One way back."""


class _Replayed(torch.autograd.Function):
    """Arguments: a RecordedWindow and what it learns. Results: what the window shows."""

    @staticmethod
    def forward(ctx: Any, window: RecordedWindow, *learnt: Tensor) -> tuple[Tensor, ...]:
        shown = window.forward()
        ctx.window, ctx.way = window, window.way_back()
        ctx.save_for_backward(*learnt)  # to be seen if they are changed before the way back
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(one for one, δ in zip(shown, window.δ, strict=True) if δ is None))
        return tuple(shown)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *δ: Tensor | None) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        return None, *ctx.window.backward(ctx.way, δ)
