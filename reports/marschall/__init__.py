"""Marschall, Cho and Savin 2020: online rules on a stream of steps, and the alignment of their gradients."""
