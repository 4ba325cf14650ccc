"""The step compiler: from the equations of a step, written once, to loops, their adjoints and partial derivatives.

    trace        run the step once on symbols: an `Expression` for each value        (expression.py)
    adjoint      the reverse sweep, by a table of derivatives                        (operations.py, adjoint.py)
    keep         the fewest values of the forward pass from which an adjoint follows (keep.py)
    evaluate     expressions on tensors, wherever PyTorch runs                       (evaluate.py)
    emit         expressions as a loop over numbers, compiled                        (emit.py)

The step is traced, and its source is not read: options are ordinary Python (`if self.adaptive: ...`), helper functions
need no support of their own, and it works where there is no source. PyTorch's own tracer, `make_fx`, was the other
choice; it gives about 80 operations for a step and its gradient, in which nothing says any more what is a number, what
is one a neuron, and what is one a neuron and sample. Here that is the `level` of an expression, and decides where a
loop computes it.
"""
