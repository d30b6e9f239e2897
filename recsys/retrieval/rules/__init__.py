"""Association rules: what lies in one basket with one or two items of the user's past."""
