"""Time of a training step of a convolutional network over that of its maps alone. Run by name:

    python tests/benchmarks/convolutions.py [--preset conv_static] [--batch 16] [--repeats 7]

A step is forward and backward of one time step with LTC neurons, as FPTT takes it at one part a step. The maps alone
are its convolutions and linear maps, on the same inputs, forward and backward with gradients of weights and inputs.
Step and maps alternate in one process; times are processor time of one thread, medians over the repeats.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from throughtime.networks.base import Network
from throughtime.networks.setting import Setting
from throughtime.registry import NETWORKS, NEURONS


def main() -> None:
    """Measure and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="conv_static", help="a network with a published setting")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    step, maps = passes(arguments.preset, arguments.batch)
    step_times, map_times = [], []
    for _ in range(arguments.repeats + 1):
        step_times.append(seconds(step))
        map_times.append(seconds(maps))
    step_time, other = statistics.median(step_times[1:]), statistics.median(map_times[1:])
    print(
        f"{arguments.preset}, batch {arguments.batch}: step {step_time * 1e3:.1f} ms, "
        f"maps alone {other * 1e3:.1f} ms, ",
        end="",
    )
    print(f"ratio {step_time / other:.2f}, {arguments.repeats} repeats")


def passes(preset: str, batch: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a training step of a preset, and its maps on the inputs that they have in such a step."""
    setting: Setting = NETWORKS[preset].factory.published  # type: ignore[attr-defined]
    neuron = partial(NEURONS[setting.neuron].factory, **setting.neuron_options)
    network: Network = NETWORKS[preset].factory(setting.inputs, setting.outputs, neuron)
    x, state = torch.rand(1, batch, *setting.inputs), network.initial_state(batch)  # type: ignore[misc]
    calls: list[tuple[nn.Module, Tensor]] = []
    kinds = (nn.Conv2d, nn.Linear)
    hooks = [
        module.register_forward_hook(lambda module, inputs, _: calls.append((module, inputs[0].detach())))
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    with torch.no_grad():
        network.unroll(x, state)
    for hook in hooks:
        hook.remove()

    def step() -> None:
        outputs = network.unroll(x, state).outputs
        sum(y.sum() for y in (outputs.values() if isinstance(outputs, dict) else [outputs])).backward()
        network.zero_grad()

    def maps() -> None:
        for module, source in calls:
            module(source.requires_grad_()).sum().backward()
            source.grad = None
        network.zero_grad()

    return step, maps


def seconds(work: Callable[[], None]) -> float:
    """Return the processor time of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
