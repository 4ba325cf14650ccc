"""Code that runs in the process of a pass: child, passes, training, checkpoints."""
