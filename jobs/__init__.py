"""Entry points of the line, one file for each job; installed as `recsys_jobs`."""
