"""What becomes of a dataset's rows, as one plan: which rows, where, in which order and pack."""
