"""Where passes run: in processes of this machine, or on others; `running/engine.py` has the contract."""
