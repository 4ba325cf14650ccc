"""The step compiler: it derives loops, adjoints and partial derivatives from the equations of a step.

    trace        run the step once on symbols: an `Expression` for each value     (expression.py)
    adjoint      the reverse sweep, by a table of derivatives                     (operations.py, adjoint.py)
    keep         the smallest set of forward values that an adjoint requires      (keep.py)
    evaluate     expressions on tensors, on any device of PyTorch                 (evaluate.py)
    emit         expressions as a compiled loop over numbers                      (emit.py)

The step is traced rather than parsed: options are ordinary Python (`if self.adaptive: ...`), helper functions need no
special support, and the source need not be available. The alternative is PyTorch's tracer, `make_fx`. It gives about 80
operations for a step and its gradient, which no longer show whether a value is a number, one per neuron, or one per
neuron and sample. Here this is the `level` of an expression, which determines where a loop computes it.
"""
