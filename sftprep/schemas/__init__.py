"""Turn records into conversations, with one module per record schema.

``table`` lists the schemas and ``normalizer`` applies them. To add a schema, write a module like
``prompt_completion`` and add a line to ``table.SCHEMAS`` and to ``fields.SCHEMA_NAMES``.
"""
