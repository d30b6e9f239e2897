"""How good lists are: truth, metrics per user, intervals, a report."""
