"""Read-only views: of what a run would write, of a finished dataset, of a template."""
