"""Chat templates as models ship them: rendered in a sandbox, traced to find what is trained."""
