"""Fast windows and single steps of the neurons."""
