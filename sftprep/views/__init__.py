"""Read-only views: preview, inspect, templates."""
