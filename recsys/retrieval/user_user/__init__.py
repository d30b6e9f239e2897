"""User-user: what people of similar taste chose."""
