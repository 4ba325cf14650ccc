"""Facts on the package alone: identities of its rules, its defaults, its training loop."""
