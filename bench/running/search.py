"""Search for the values of a cell's options by optuna: a trial is proposed from the results of those before it.

The proposals depend on the suite's seed and on the results alone. A search that was interrupted therefore begins anew
and proposes the trials that have records again, up to the first one without.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from throughtime.errors import UsageError
from throughtime.spec import Span
from throughtime.suites.ranges import is_whole, rounded
from throughtime.suites.trials import Space, Trial


class Search:
    """The search of one cell, by the tree-structured Parzen estimator (TPE) of optuna.

    Args:
        space: the options of the cell under trial.
        seed: of the sampler.
        budget: number of trials.

    Attributes:
        trials: the proposed trials.
        judged: number of trials whose results are known; all but the last one.

    Raises:
        UsageError: optuna is not installed.
    """

    def __init__(self, space: Space, seed: int, budget: int) -> None:
        optuna = imported()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._pruned = optuna.trial.TrialState.PRUNED
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed % 2**32))
        self.space, self.budget = space, budget
        self.trials: list[Trial] = []
        self.judged = 0

    @property
    def is_over(self) -> bool:
        """Whether all trials are judged."""
        return self.judged == self.budget

    def propose(self) -> Trial:
        """Return the trial that is not judged yet; propose one if there is none.

        Raises:
            UsageError: the cell cannot have the proposed values.
        """
        if len(self.trials) == self.judged:
            proposal = self._study.ask()
            values = {name: _suggested(proposal, name, values) for name, values in self.space.options.items()}
            self.trials.append(self.space.trial(values))
        return self.trials[-1]

    def judge(self, loss: float | None) -> None:
        """Take the result of the last trial: less is better, and None, a failed run, is worse than any number."""
        if loss is None:
            self._study.tell(self.judged, state=self._pruned)  # TPE ranks it below all others; it leaves out `FAIL`
        else:
            self._study.tell(self.judged, loss)
        self.judged += 1


def version() -> str:
    """Return the name of the sampler with the version of its library, for records."""
    return f"optuna {imported().__version__} TPE"


def imported() -> ModuleType:
    """Import optuna; it is not part of the plain installation."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError("`sampler: optuna` needs optuna", hint="pip install 'throughtime[tune]'") from error
    return optuna


def _suggested(proposal: Any, name: str, values: list[Any] | Span) -> Any:
    if isinstance(values, list):
        return values[proposal.suggest_categorical(name, range(len(values)))]
    suggest = proposal.suggest_int if is_whole(values) else proposal.suggest_float
    return rounded(values, suggest(name, values.low, values.high, log=values.scale == "log"))
