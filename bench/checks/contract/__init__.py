"""Facts that any registered component must satisfy, a plugin too: rules, neurons, networks and datasets."""
