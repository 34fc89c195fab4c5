"""Models' own chat templates in Jinja: sandboxed, with the trained spans derived from renderings.

``renderer`` is the entry point. It renders a chat in the ``sandbox``, with marks around the
record's texts (``tracing``, ``traced_chat``), finds what is trained (``spans``) and what truncation
keeps (``kept``), and turns the text into pieces (``skeleton``).
"""
