"""The manual: placeholder until the pages exist."""


def manual_page(topic: str | None, *, colour: bool) -> str:
    """A page of the manual."""
    raise NotImplementedError(topic, colour)
