"""Compiled loops, matrix products, flat parameter blocks and Adamax; imports nothing of ours."""
