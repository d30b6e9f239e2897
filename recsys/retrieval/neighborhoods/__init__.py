"""What retrievers of neighbors share: similarities, counting in blocks, and lists that a past is followed along."""
