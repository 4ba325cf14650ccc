"""What any registered component must satisfy, a plugin too: facts of rules, neurons, networks and datasets."""
