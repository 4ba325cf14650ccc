"""Suites that ship with throughtime, one YAML a file."""
