"""Templates as values: their placeholders, and which texts of the run they need."""

import pytest

from sftprep.errors import TemplateError
from sftprep.templates.template import Template, run_texts, split_placeholders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("x", [(False, "x")]),
        ("{a}{b}", [(True, "a"), (True, "b")]),
        ("{{{a}}}", [(False, "{"), (True, "a"), (False, "}")]),
        ("{{a}}", [(False, "{a}")]),
        ("x{a}y", [(False, "x"), (True, "a"), (False, "y")]),
        ("{a\n}", [(True, "a\n")]),
    ],
)
def test_text_is_divided_at_its_placeholders(text: str, expected: list[tuple[bool, str]]) -> None:
    """Literal text and placeholders come in order, and doubled braces become single ones."""
    assert list(split_placeholders(text)) == expected


@pytest.mark.parametrize(
    ("text", "brace"), [("a {", "{"), ("a }", "}"), ("{a}}", "}"), ("{{a}", "}")]
)
def test_a_single_brace_is_refused(text: str, brace: str) -> None:
    """A brace that is neither doubled nor part of a placeholder is most likely a mistake."""
    with pytest.raises(TemplateError) as caught:
        list(split_placeholders(text, "t.yaml: user"))
    assert str(caught.value) == (
        f"t.yaml: user has a single '{brace}'. Write it twice to get a literal brace."
    )


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, set()),
        ({"user": "{content}{separator}", "body": "{content}{eos}"}, {"separator", "eos"}),
        ({"end": "{bos}"}, {"bos"}),
        ({"bos": "always"}, {"bos"}),
        ({"bos": "never", "header": "{{eos}}"}, set()),
        ({"default_system": "{eos}"}, set()),
    ],
)
def test_run_texts_are_those_that_the_template_writes(
    keys: dict[str, str], expected: set[str]
) -> None:
    """A run needs a BOS, an EOS or a separator only if the template has a place for it."""
    assert run_texts(Template(name="t", sha256="", **keys)) == expected  # type: ignore[arg-type]
