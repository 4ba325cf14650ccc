"""The Python interface, whose names `throughtime` itself exports."""
