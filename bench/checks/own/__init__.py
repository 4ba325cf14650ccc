"""What only components of the package must satisfy: identities of its rules, its defaults, its training loop."""
