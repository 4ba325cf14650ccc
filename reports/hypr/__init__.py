"""Baronig, Bahariasl, Özdenizci and Legenstein 2025: hybrid propagation, e-prop's gradient in parallel over a block."""
