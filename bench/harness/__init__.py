"""The harness: components built from a spec, seeds, devices, updates, batches, evaluation."""
