"""Records: one JSON file a run, where it came from, and statistics over replicates."""
