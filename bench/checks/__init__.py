"""Facts that must hold of every registered component, evaluated numerically.

    from throughtime.checks import assert_sound
    assert_sound("my_rule", plugins=["my_rule.py"])         # in a test: one line

Each fact is an identity on tiny float64 networks, takes a few hundred milliseconds on a CPU, and reports its value (the
largest error, a slope in bytes) and its bound.
"""

from throughtime.checks.run import assert_sound, check

__all__ = ["assert_sound", "check"]
