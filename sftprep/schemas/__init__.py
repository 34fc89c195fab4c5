"""Records -> conversations: one file for each schema."""
