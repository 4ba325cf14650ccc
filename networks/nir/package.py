"""Networks in the Neuromorphic Intermediate Representation (NIR), which other libraries read and write.

NIR describes neurons in continuous time; a network here takes steps of length dt:

    τ v̇ = −v + R I,  z = [v > θ],  v ← 0 after a spike         v_t = α v_{t−1} (1 − z_{t−1}) + (1 − α) R I_t

α = exp(−dt/τ) is the exact solution for a current that is constant during a step (`exponential`), α = 1 − dt/τ the
explicit Euler step (`euler`), which norse and snnTorch take. CubaLIF is the same with i_t = γ i_{t−1} + (1 − γ) w I_t
in place of I_t. An edge that closes a loop, such as that of recurrent weights, transmits the spikes of the step before;
all others those of the same step. What NIR cannot describe is refused with the reason.
"""

from __future__ import annotations

from typing import Any, Literal

from throughtime.errors import UsageError

Scheme = Literal["exponential", "euler"]
"""How a decay per step follows from a time constant."""


def imported() -> Any:
    """Return the package `nir`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import nir
    except ImportError as error:
        raise UsageError(
            "NIR needs the package nir, which is not installed", hint="pip install 'throughtime[nir]'"
        ) from error
    return nir
