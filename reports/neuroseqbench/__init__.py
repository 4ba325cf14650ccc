"""Ma et al. 2025: NeuroSeqBench, an ordering of rules on permuted sequential MNIST."""
