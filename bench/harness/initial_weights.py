"""The weights with which a run begins, read from a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from throughtime.errors import UsageError, first_line
from throughtime.harness.tensor_file import DamagedError, unpacked
from throughtime.networks.base import Network
from throughtime.spec import InitialWeights


def load_initial_weights(network: Network, weights: InitialWeights) -> None:
    """Set the weights of a network to those of a file: a state dict, or a `weights.pt`, of which it reads `final`.

    Raises:
        UsageError: the file is missing, has changed since the run was planned, or does not fit the network.
    """
    try:
        content = Path(weights.file).read_bytes()
    except OSError as error:
        raise UsageError(f"the initial weights cannot be read: {error.strerror}", weights.file) from error
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        raise UsageError("the initial weights changed since the run was planned", weights.file)
    try:
        state = unpacked(content)
        network.load_state_dict(state.get("final", state))
    except DamagedError as error:
        raise UsageError(f"the initial weights cannot be loaded: {error}", weights.file) from error
    except Exception as error:  # a file from elsewhere may raise any exception
        raise UsageError(f"the initial weights do not fit the network: {first_line(error)}", weights.file) from error
