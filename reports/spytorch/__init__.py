"""Neftci, Mostafa and Zenke 2019: surrogate gradients, and the SpyTorch tutorials."""
