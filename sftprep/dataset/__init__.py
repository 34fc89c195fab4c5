"""A dataset on disk: how it is staged, journaled, published, described, resumed and reused."""
