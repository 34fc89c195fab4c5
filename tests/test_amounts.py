"""Numbers of options are read exactly."""

from fractions import Fraction

import pytest

from sftprep import UsageError
from sftprep.amounts import parse_amount, parse_factor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("0100", 100), ("100%", 1), ("0.1%", Fraction(1, 1000)),
        ("33.3%", Fraction("0.333")),
    ],
)  # fmt: skip
def test_amounts(text: str, expected: int | Fraction) -> None:
    """A number is an int; a percentage is a fraction of 1, without rounding."""
    assert parse_amount(text, "sample") == expected
    assert isinstance(parse_amount(text, "sample"), Fraction) == text.endswith("%")


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.5", "5%%", "%", "5.%", ".5%", "1e3", "１", "5 %"]
)
def test_bad_amounts(text: str) -> None:
    """Everything else is refused by the name of the option."""
    with pytest.raises(UsageError) as caught:
        parse_amount(text, "max_dropped")
    assert str(caught.value) == (
        f"--max-dropped is '{text}'; expected a number or a percentage, e.g. 100 or 0.1%."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2", 2), ("2.5", Fraction(5, 2)), ("0.1", Fraction(1, 10)), ("1000", 1000)],
)
def test_factors(text: str, expected: Fraction) -> None:
    """A factor is a decimal number, without rounding."""
    assert parse_factor(text, "a") == expected


@pytest.mark.parametrize(
    "text", ["", "0", "0.0", "-1", "x", "1/3", "1000.1", "9" * 5000, "1e3", ".5"]
)
def test_bad_factors(text: str) -> None:
    """A factor is above 0, and not so large that a mistake would fill the disk."""
    with pytest.raises(UsageError) as caught:
        parse_factor(text, "a=b")
    assert str(caught.value).startswith("--repeat 'a=b': the factor is '")
    assert str(caught.value).endswith("; expected a number above 0, at most 1,000, e.g. 2.5.")
