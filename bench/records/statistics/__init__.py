"""Statistics of records: intervals of means, and tests of differences, for comparisons and claims alike."""
