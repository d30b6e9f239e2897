"""Rankers: feature spec, networks, training, scoring, and what turns scores into lists."""

import os

# TensorFlow reads this when it is first imported; its notes on CPU features are noise in a job's log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
