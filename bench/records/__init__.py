"""Records: one JSON file per run with its provenance, results folders, and statistics over replicates."""
