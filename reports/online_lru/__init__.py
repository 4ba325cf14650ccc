"""Zucchet et al. 2023: online learning of long-range dependencies with linear recurrent units."""
