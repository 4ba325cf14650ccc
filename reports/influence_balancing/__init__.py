"""Tallec and Ollivier 2017: influence balancing, a linear system on which truncated gradients have the wrong sign."""
