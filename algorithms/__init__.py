"""Learning rules: one a file; `base.py` has the contract."""
