"""Configuration files, shipped in the wheel as `recsys_conf`."""
