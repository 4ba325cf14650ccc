"""Compiled loops, matrix products, flat parameter blocks and Adamax; independent of the other packages."""
