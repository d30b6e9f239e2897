"""Entry points of the pipeline, one file per job; installed as `recsys_jobs`."""
