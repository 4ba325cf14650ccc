"""Kag and Saligrama 2021: forward propagation through time, over the number of parts."""
