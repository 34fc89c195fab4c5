"""policy: which part of an answer's content is reasoning."""

import pytest

from sftprep.data.policy import THINK_TAGS, reasoning_length


@pytest.mark.parametrize("tags", THINK_TAGS)
@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("OaCb", "OaC"),
        (" O\na\nC\n\nb", " O\na\nC\n\n"),
        ("aCb", "aC"),  # the prompt ends with the opening tag
        ("Oa", "Oa"),
        ("aOb", ""),
        ("aObCc", ""),
        ("C", "C"),
        ("b", ""),
        ("", ""),
    ],
)
def test_reasoning_in_tags(tags: tuple[str, str], text: str, reasoning: str) -> None:
    """O and C stand for the tags that open and close."""
    opening, closing = tags
    written, expected = (t.replace("O", opening).replace("C", closing) for t in (text, reasoning))
    assert written[: reasoning_length(written)] == expected


def test_tags_of_two_families_do_not_pair() -> None:
    """What one tag opens, another one does not close."""
    assert reasoning_length("<think>a[/THINK]b") == len("<think>a[/THINK]b")
    assert reasoning_length("a [THINK] b </think>c") == len("a [THINK] b </think>")
