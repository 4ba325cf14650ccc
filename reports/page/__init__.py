"""The HTML page of a report: one self-contained file."""
