"""Item2vec: vectors of items by what is touched around them, searched from a user's latest items."""
