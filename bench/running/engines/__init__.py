"""Where passes run: in processes of this machine, or on others; `base.py` has the contract."""
