"""How many examples the property tests try: few while one works, many in the heavy suites.

``pytest -m hypothesis --hypothesis-profile thorough`` runs the property tests alone, with all their
examples.
"""

from hypothesis import settings

THOROUGH = 100
"""The examples of a property test that names no number, in the heavy suites."""

settings.register_profile("quick", deadline=None, max_examples=THOROUGH // 4)
settings.register_profile("thorough", deadline=None, max_examples=THOROUGH)
settings.load_profile("quick")


def some(most: int) -> int:
    """Return how many of so many examples the profile tries."""
    return max(2, most * settings().max_examples // THOROUGH)
