"""The search for settings: trials of a retriever, judged on a part of the log that comes later."""
