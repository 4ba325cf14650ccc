"""The same work through ours and through other libraries, side by side: the command `throughtime peers`."""
