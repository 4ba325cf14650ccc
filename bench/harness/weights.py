"""The trained weights of a run: the training pass writes them beside the record; `load_network` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from throughtime.errors import UsageError, first_line, refuse_unknown
from throughtime.harness.build import build
from throughtime.harness.tensor_file import DamagedError, packed, unpacked
from throughtime.networks.base import Network
from throughtime.records.files import WEIGHTS
from throughtime.whole_files import write_whole

if TYPE_CHECKING:
    from throughtime.records.results import Results

Which = Literal["final", "best_validation"]
"""Which weights: those after the last epoch, or after the epoch that was best on the validation split."""


def write_weights(folder: Path, final: Mapping[str, Tensor], best_validation: Mapping[str, Tensor]) -> None:
    """Write two state dicts of a network, as CPU tensors, to `weights.pt` in the folder of a run.

    The file is a dict with the keys of `Which`; `torch.load(path, weights_only=True)` reads it.
    """
    contents = {
        which: {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        for which, weights in (("final", final), ("best_validation", best_validation))
    }
    write_whole(folder / WEIGHTS, packed(contents))


def load_network(results: Results | str | Path, run: str, weights: Which = "final") -> Network:
    """Return the network of a finished run with its trained weights, on the CPU. torch's random state is unchanged.

    Args:
        results: the results, or their folder.
        run: the run's id, or its label.
        weights: `final` or `best_validation`.

    Raises:
        UsageError: there is no such run, there are no weights of this name, its weights were not saved, or they do not
            fit the network that the present code of its components builds.

    Example:
        >>> network = tt.load_network(folder, "bptt lif digits #0")
        >>> tt.evaluate(network, tt.build_dataset("digits", steps=8), "test").metrics.keys()
        dict_keys(['accuracy'])
    """
    refuse_unknown("weights", weights, get_args(Which))
    from throughtime.records.results import Results  # imports pandas, which no pass needs

    results = results if isinstance(results, Results) else Results.load(results)
    path = results.run_folder(run) / WEIGHTS
    if not path.exists():
        raise UsageError(f'the weights of "{run}" were not saved', str(path), "set `keep_weights: true` in the suite")
    spec = results.record(run).spec.model_copy(update={"device": "cpu", "initial_weights": None})
    with torch.random.fork_rng(devices=[]):  # the weights that `build` draws are replaced
        network = build(spec).network
    try:
        network.load_state_dict(unpacked(path.read_bytes())[weights])
    except DamagedError as error:
        raise UsageError(f"the weights cannot be loaded: {error}", str(path)) from error
    except (RuntimeError, KeyError) as error:
        raise UsageError(f"the weights do not fit the network: {first_line(error)}", str(path)) from error
    return network
