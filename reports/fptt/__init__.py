"""Yin, Corradi and Bohte 2023: Forward Propagation Through Time with liquid time-constant spiking neurons."""
