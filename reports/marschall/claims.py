"""Claims of Marschall, Cho and Savin 2020 and on their released code, judged from the suite `marschall`."""

from __future__ import annotations

from collections.abc import Callable

from throughtime.records.results import Results
from throughtime.records.statistics.summary import Lean
from throughtime.reports.marschall import exact
from throughtime.reports.papers.claims import (
    ANYTHING,
    Answer,
    Values,
    Within,
    all_or_none,
    by_rule,
    claim,
    decided,
    judged,
    shown,
    trained,
)

NEEDS = "100 000 steps"
TRAINED = trained("marschall", 10)
"""Epochs of 10 000 steps."""
REGISTERED = "criterion before the runs: 6ca6456, 2026-11-26; statistics after them: 2026-11-28"


@claim(NEEDS, REGISTERED, primary=True)
def unbiased_rules_learn(results: Results) -> Answer:
    """RTRL and KF-RTRL learn both dependencies of Add (α = 1).

    Summary: the loss over the last 10 000 of 100 000 steps. Criterion: below the level of the shorter lag alone in all
    of n >= 3 runs of both rules; refuted if in none of one rule.
    """
    level = exact.with_the_shorter()
    return _judged(results, "below", lambda loss: loss < level, "rtrl", "kf_rtrl")


@claim(NEEDS, REGISTERED)
def the_readout_does_not(results: Results) -> Answer:
    """A network whose readout alone is trained does not learn the longer dependency of Add (α = 1).

    Summary: as above. Criterion: above the level of the shorter lag alone in all of n >= 3 runs; refuted if in none.
    """
    level = exact.with_the_shorter()
    return _judged(results, "above", lambda loss: loss > level, "readout")


@claim(NEEDS, REGISTERED)
def uoro_learns(results: Results) -> Answer:
    """UORO, which is unbiased too, learns Add with this step size (α = 1): better than the readout alone.

    Summary: as above, UORO less the readout of the same replicate. Criterion: below 0 in all of n >= 3 replicates;
    refuted if in none.
    """
    number = lambda runs: _difference(_losses(runs, "uoro", "readout"), "uoro", "readout")  # noqa: E731
    return judged(results, number, all_or_none(lambda off: off < 0), "loss of UORO less that of the readout", TRAINED)


@claim(NEEDS, REGISTERED, primary=True)
def alignment_ranks(results: Results) -> Answer:
    """The alignment of a rule with RTRL at one step ranks the rules (KF-RTRL and RFLO on Add, α = 1).

    Summary: the loss of KF-RTRL less that of RFLO, mean over n >= 3 replicates, and the cosines of both with RTRL.
    Criterion: refuted if the rule with the smaller cosine has the smaller loss. That one pair is ranked rightly does
    not show that rules are: it is unclear, and leans for. KF-RTRL takes the immediate term of a step exactly, the
    released one approximates it, too.
    """
    number = lambda runs: _difference(_losses(runs, "kf_rtrl", "rflo"), "kf_rtrl", "rflo")  # noqa: E731
    answer = judged(results, number, Within(low=0.0), "loss of KF-RTRL less that of RFLO", TRAINED)
    if answer.word in ("not run here", "unclear"):
        return answer
    with_rtrl = {rule: exact.cosine_with_rtrl("add", rule) for rule in ("kf_rtrl", "rflo")}
    larger_loss, larger_cosine = answer.word == "supported", with_rtrl["kf_rtrl"] > with_rtrl["rflo"]
    lean: Lean = "against" if larger_loss == larger_cosine else "for"
    ours = ", ".join(f"{rule}: cosine {with_rtrl[rule]:.3f}" for rule in ("kf_rtrl", "rflo"))
    missing = "" if lean == "against" else "more than one pair of rules"
    ranked = decided(lean, f"{ours}; {answer.ours}", answer.reason, answer.n, missing=missing)
    return ranked._replace(scale=answer.scale, interval=answer.interval)


@claim(ANYTHING, REGISTERED)
def step_sizes_are_equal(results: Results) -> Answer:
    """In the released code the rules differ in credit assignment alone, at α = 1/2 as at α = 1.

    Summary: the norm of RTRL's gradient as released over that of the derivative. Criterion: not 2, up to 1e-4.
    """
    released, corrected = exact.immediate_influence_over_derivative()
    ours = f"‖RTRL as released‖ / ‖dE/dR‖ = {released:.6f}, with α {corrected:.6f}"
    reason = "its RTRL, UORO and KF-RTRL lack the factor α: their steps are 1/α = 2 times as large as RFLO's"
    return decided("against" if abs(released - 2) < 1e-4 else "for", ours, reason)


def _judged(results: Results, side: str, condition: Callable[[float], bool], *rules: str) -> Answer:
    """Judge a condition on the losses of rules on Add."""
    reason = f"loss {side} {exact.with_the_shorter():.4f}, of the shorter lag alone; of both {exact.with_both():.4f}"
    number = lambda runs: _losses(runs, *rules)  # noqa: E731
    return judged(results, number, all_or_none(condition), reason, TRAINED, show=lambda v: shown(v, ".4g"))


def _losses(runs: Results, *rules: str) -> Values:
    """Return the losses over the last 10 000 steps on Add with α = 1, of the replicates that all rules have."""
    frame = runs.select("marschall").frame
    frame = frame[frame["dataset"] == "add"]
    return by_rule(frame, rules, "loss")


def _difference(losses: Values, first: str, second: str) -> Values:
    pairs = zip(losses[first], losses[second], strict=True)
    return {f"{first} − {second}": [a - b for a, b in pairs]}
