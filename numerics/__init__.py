"""Numerical building blocks: compiled loops, matrix products, flat parameter blocks, Adamax. Imports nothing of ours."""
