"""Feature specs: what turns a row into the inputs of a network."""
