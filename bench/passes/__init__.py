"""What happens inside the fresh process of a pass."""
