"""The least memory that a run needs, and whether the machine has it, before weights and batches are allocated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from throughtime.errors import UsageError
from throughtime.spec import RunSpec
from throughtime.suites.units import bytes_as_text

if TYPE_CHECKING:
    from torch import Tensor

    from throughtime.datasets.base import Dataset
    from throughtime.networks.base import Network
    from throughtime.running.plan import Planned

LARGE = 2**28
"""Bytes of weights beyond which a plan builds no network in memory: to draw them takes more than a second."""
DRAWS = ("normal_", "uniform_")
"""Ends of the names of functions that draw a tensor, which is their first argument."""
GROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""The folder of control groups (version 2), and the file with the name of the group of this process."""


def least_bytes(spec: RunSpec, dataset: Dataset, network: Network) -> int:
    """Return the bytes of weights, gradients and optimiser state, and of the inputs of one batch.

    The states that a rule stores, the data and the libraries (about 300 MB) come on top.
    """
    from throughtime.harness.optimisers import stored

    trained = _bytes(p for p in network.parameters() if p.requires_grad)
    batch = 4 * math.prod((int(dataset.steps), spec.training.batch, int(dataset.inputs)))  # may be NumPy's
    return _bytes(network.parameters()) + (stored(spec.training) - 1) * trained + batch


def planned_network(build: Callable[[], Network]) -> Network:
    """Build a network for a plan; one of more than LARGE bytes on PyTorch's device `meta`, without memory.

    Raises:
        UsageError: its weights exceed the memory of this machine.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Undrawn(TorchFunctionMode):
        """Leaves weights undrawn on `meta`, where they have no numbers: PyTorch would import dynamo for them, 1.5 s."""

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if getattr(function, "__name__", "").endswith(DRAWS) and (weight := [*args, *kwargs.values()][0]).is_meta:
                return weight
            return function(*args, **kwargs)

    try:
        with torch.device("meta"), Undrawn():
            network = build()
        weights = _bytes(network.parameters())
    except Exception as error:  # a plugin's network may compute with its weights; its faults appear when it is built
        if "Storage size calculation overflowed" in str(error):
            raise UsageError("its weights need more bytes than 64 bits can count") from error
        return build()
    if weights > machine_bytes():
        have = bytes_as_text(machine_bytes())
        raise UsageError(f"its weights need {bytes_as_text(weights)} of memory, but this machine has {have}")
    return network if weights > LARGE else build()


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def largest(planned: Iterable[Planned]) -> Planned | None:
    """Return the run that needs the most memory, of those that will run; None if that is known of no run."""
    known = [p for p in planned if p.least_bytes is not None and not p.unsupported]
    return max(known, key=lambda p: p.least_bytes or 0, default=None)


def require_memory(planned: Iterable[Planned], limit: int | None, here: bool) -> None:
    """Raise UsageError if a run needs more memory than it may have.

    Args:
        planned: the runs.
        limit: bytes that a pass may use; None: any.
        here: whether they run on this machine.
    """
    if (p := largest(planned)) is None:
        return
    needed = p.least_bytes or 0
    for most, what in ((limit, "memory limit"), (machine_bytes() if here else None, "memory of this machine")):
        if most is not None and needed > most:
            needs = f"{p.spec.label} needs at least {bytes_as_text(needed)} of memory"
            raise UsageError(f"{needs}, more than {bytes_as_text(most)}", what, "choose a smaller network or batch")


def machine_bytes() -> int:
    """Return the memory of this machine, or of a control group around this process that has less."""
    most, group = int(psutil.virtual_memory().total), GROUPS
    with suppress(OSError):  # another system
        names = [line[len("0::/") :] for line in OWN_GROUP.read_text().splitlines() if line.startswith("0::/")]
        group = GROUPS.joinpath(*names[:1])
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):  # no control group, or `max`
            most = min(most, int((folder / "memory.max").read_text()))
    return most
