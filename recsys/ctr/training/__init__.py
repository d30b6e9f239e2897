"""The training loop and where it runs."""
