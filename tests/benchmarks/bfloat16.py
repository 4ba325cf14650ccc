"""Error and speed of products in bfloat16. Run by name: python tests/benchmarks/bfloat16.py

For each neuron and size, over ten draws of weights, input U(0, 2) and targets (batch 64, loss at the last step):

    gradient      ‖g − g'‖ / ‖g‖ of BPTT's whole gradient, g in float32, g' with bfloat16: median and largest
    cosine        between the two: median and smallest
    spikes        share of all neurons and steps whose spike differs: median
    time          of forward and backward, bfloat16 over float32: ratio of the medians of 20 each, taken in turn

float32's own error, beside float64, is printed too. One thread.
"""

from __future__ import annotations

import copy
import os
import time
from functools import partial
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import torch
import torch.nn.functional as F
from torch import Tensor

from throughtime.measuring.process_memory import keep_freed
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.precision import in_precision
from throughtime.registry import NEURONS

SIZES = [(28, 28, 64), (100, 40, 128), (100, 40, 512), (784, 1, 64)]
"""T, inputs, H."""
DRAWS, BATCH, CLASSES = 10, 64, 10


def gradient(network: Recurrent, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient of all parameters as one vector, and the spikes."""
    shown = network.unroll(x, network.initial_state(BATCH))
    E = F.cross_entropy(shown.outputs[-1], y)
    result = torch.autograd.grad(E, [*network.parameters()], allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in result]), shown.spikes[0]


def difference(a: Tensor, b: Tensor) -> float:
    """Return ‖a − b‖ / ‖a‖."""
    return float((a - b).norm() / a.norm())


def main() -> None:
    """Measure and print one row per neuron and size."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed()
    print("neuron   T  in   H   gradient           cosine            spikes   time   float32's own error")
    for neuron in ("lif", "alif", "ltc"):
        for T, inputs, H in SIZES:
            errors, cosines, others, own = [], [], [], []
            for draw in range(DRAWS):
                torch.manual_seed(draw)
                options = {"hidden": [H], "readout": "membrane", "readout_tau": 0.0}
                network = Recurrent(inputs, CLASSES, partial(NEURONS[neuron].factory), **options)
                x, y = 2 * torch.rand(T, BATCH, inputs), torch.randint(CLASSES, (BATCH,))
                rounded = in_precision(copy.deepcopy(network), "bfloat16")
                g, z = gradient(network, x, y)
                rounded_gradient, its_z = gradient(rounded, x, y)
                errors.append(difference(g, rounded_gradient))
                cosines.append(float(F.cosine_similarity(g, rounded_gradient, 0)))
                others.append(float((z != its_z).float().mean()))
                own.append(difference(g, gradient(copy.deepcopy(network).double(), x.double(), y)[0].float()))
            times: dict[Recurrent, list[float]] = {network: [], rounded: []}
            for _ in range(20):
                for timed_network, seconds in times.items():
                    start = time.perf_counter()
                    gradient(timed_network, x, y)
                    seconds.append(time.perf_counter() - start)
            ratio = median(times[rounded]) / median(times[network])
            print(
                f"{neuron:4} {T:5} {inputs:3} {H:3}   {median(errors):.3f} ({max(errors):.3f})   "
                f"{median(cosines):.4f} ({min(cosines):.4f})   {100 * median(others):5.2f} %   {ratio:.2f}   "
                f"{median(own):.1e} ({max(own):.1e})",
                flush=True,
            )


if __name__ == "__main__":
    main()
