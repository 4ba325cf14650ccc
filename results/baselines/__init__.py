"""Committed records of suites, one file a suite and scale, with their learning curves; see docs/ci.md."""
