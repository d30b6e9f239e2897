"""Click-through-rate models: feature specs, networks, training and scoring."""

import os

# TensorFlow reads this when it is first imported; its messages about CPU features are noise in a job's log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
