"""Two sets of results compared cell by cell, gates on the outcome, and committed baselines."""
