"""Turn conversations into pieces, with templates in YAML or with chat templates in Jinja."""
