"""Features of users, items and examples, each as of its own instant."""
