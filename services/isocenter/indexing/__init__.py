"""Role: turns events into the search index and the metadata packs."""
