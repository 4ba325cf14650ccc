"""Kriener, Göltz and Petrovici 2022: the Yin-Yang data set."""
