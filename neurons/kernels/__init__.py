"""Compiled windows and single steps of neurons, derived from their equations."""
