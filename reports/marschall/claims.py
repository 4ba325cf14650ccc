"""Claims of Marschall, Cho and Savin 2020 and on their released code, judged from the suite `marschall`."""

from __future__ import annotations

from collections.abc import Callable

from throughtime.records.results import Results
from throughtime.reports.marschall import exact
from throughtime.reports.marschall.side_by_side import LEADER, along_rtrl
from throughtime.reports.papers.verdicts import Answer, Word, at_a_scale, decided, errors
from throughtime.spec import Scale

Losses = dict[str, list[float]]
"""Mean loss over the last 10 000 steps of each run, by rule; infinite for a run that diverged."""


def unbiased_rules_learn(results: Results) -> Answer:
    """RTRL and KF-RTRL learn both dependencies of Add (α = 1)."""
    level = exact.with_the_shorter()
    return _judge(results, lambda loss: max(*loss["rtrl"], *loss["kf_rtrl"]) < level, "rtrl", "kf_rtrl")


def the_readout_does_not(results: Results) -> Answer:
    """A network whose readout alone is trained does not learn the longer dependency of Add (α = 1)."""
    level = exact.with_the_shorter()
    return _judge(results, lambda loss: min(loss["readout"]) > level, "readout")


def uoro_learns(results: Results) -> Answer:
    """UORO, which is unbiased too, learns Add with this step size (α = 1): better than the readout alone."""
    return _judge(results, lambda loss: max(loss["uoro"]) < min(loss["readout"]), "uoro", "readout")


def alignment_ranks(results: Results) -> Answer:
    """The alignment of a rule with RTRL at one step ranks the rules (KF-RTRL and RFLO on Add, α = 1)."""

    def word(loss: Losses) -> Word:
        if min(loss["kf_rtrl"]) > max(loss["rflo"]):
            return "supported"
        return "not supported" if max(loss["kf_rtrl"]) < min(loss["rflo"]) else "unclear"

    answer = _judge(results, word, "kf_rtrl", "rflo")
    if answer.word in ("not run here", "unclear"):  # no runs, too few, or losses that overlap
        return answer
    cosines = along_rtrl("add")
    with_rtrl = cosines[cosines["other"] == LEADER].groupby("rule")["mean"].mean()
    if with_rtrl["kf_rtrl"] > with_rtrl["rflo"]:
        return answer._replace(word="unclear", reason="here KF-RTRL has the larger cosine, too")
    shown = ", ".join(f"{rule}: cosine {with_rtrl[rule]:.3f}" for rule in ("kf_rtrl", "rflo"))
    larger = "larger" if answer.word == "supported" else "smaller"
    return answer._replace(ours=f"{shown}; losses {answer.ours}", reason=f"the smaller cosine has the {larger} loss")


def step_sizes_are_equal(results: Results) -> Answer:
    """In the released code the rules differ in credit assignment alone, at α = 1/2 as at α = 1."""
    released, corrected = exact.immediate_influence_over_derivative()
    ours = f"‖RTRL as released‖ / ‖dE/dR‖ = {released:.6f}, with α {corrected:.6f}"
    reason = "its RTRL, UORO and KF-RTRL lack the factor α: their steps are 1/α = 2 times as large as RFLO's"
    return Answer("not supported" if abs(released - 2) < 1e-4 else "supported", ours, reason)


def _judge(results: Results, word: Callable[[Losses], Word | bool], *rules: str) -> Answer:
    """Judge a condition on the losses on Add with α = 1."""

    def at(scale: Scale) -> Answer | None:
        runs = results.select("marschall", scale).frame
        runs = runs[runs["dataset"] == "add"]
        loss = {rule: errors(runs[runs["rule"] == rule], "loss") for rule in rules}
        if not (n := min(map(len, loss.values()))):
            return None
        ours = "; ".join(f"{rule}: {', '.join(f'{v:.4g}' for v in loss[rule])}" for rule in rules)
        levels = f"level of the shorter lag alone {exact.with_the_shorter():.4f}, of both {exact.with_both():.4f}"
        return decided(word(loss), ours, levels, n, scale)

    return at_a_scale(at, "no run of the suite marschall")


CLAIMS = (unbiased_rules_learn, the_readout_does_not, uoro_learns, alignment_ranks, step_sizes_are_equal)
