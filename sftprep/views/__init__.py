"""Read-only views for a terminal: of a dataset, of what a run would write, of a template."""
