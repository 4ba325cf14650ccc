"""The same work through other libraries, one a file."""
