"""Complete the values of options and arguments in the shell.

In     the name of an option or argument, and the beginning of its value.
Out    the values that begin so: those that an option allows, the built-in templates, the trainers,
       and the topics of the manual. [] where the value is a file or free text: the shell then
       completes file names.
Never  loads anything heavy, since the shell waits for it.
"""

from collections.abc import Callable, Iterable


def completer(values: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a function that lists the values which begin with a text.

    Args:
        values: returns all values.
    """

    def complete(incomplete: str) -> list[str]:
        return [value for value in values() if value.startswith(incomplete)]

    return complete


def template_names() -> list[str]:
    """Return the values of ``--template`` that have a name of their own."""
    from sftprep.templates.loading import builtin_names

    return [*builtin_names(), "tokenizer"]


def target_names() -> list[str]:
    """Return the names that ``sftprep targets`` describes."""
    from sftprep.targets.names import TARGET_NAMES

    return list(TARGET_NAMES)


def rule_names() -> list[str]:
    """Return the names of the rules of ``sftprep lint``."""
    from sftprep.lint.names import RULE_NAMES

    return list(RULE_NAMES)


def topics() -> list[str]:
    """Return the topics of the manual."""
    from sftprep.views.manual import topics as of_manual

    return list(of_manual())
