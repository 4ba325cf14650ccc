"""Networks: how neurons are wired and read out; `base.py` has the contract."""
