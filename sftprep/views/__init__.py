"""Read-only views for a terminal: a dataset, what a run would write, a template, the manual."""
