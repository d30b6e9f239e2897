"""Random items: for exploration, and as the baseline that every retriever has to beat."""
