"""Published splits, and how lists are judged on them."""
