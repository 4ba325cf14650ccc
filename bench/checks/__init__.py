"""Checks: facts that must hold of every registered component, found by computing and not by believing.

    from throughtime.checks import assert_sound
    assert_sound("my_rule", plugins=["my_rule.py"])         # in a test: one line

Each fact is an identity on tiny float64 networks, a few hundred milliseconds on a CPU, and says what it found (the
largest error, a slope in bytes) beside the bound it is held to.
"""

from throughtime.checks.run import assert_sound, check

__all__ = ["assert_sound", "check"]
