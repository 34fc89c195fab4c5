"""The list of targets, and what is shown of one."""

import pytest

from sftprep.errors import UsageError
from sftprep.targets.table import TARGETS, UNABLE
from sftprep.views.targets import describe_target, list_targets


def test_the_list() -> None:
    """Each target has a line with the forms of rows that it takes; so have those without ids."""
    lines = list_targets().splitlines()
    assert [line.split()[0] for line in lines[: len(TARGETS) + len(UNABLE)]] == [*TARGETS, *UNABLE]
    assert lines[0].split(maxsplit=3) == ["hf", "packed,", "padded", "Trainer of transformers"]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", [*TARGETS, *UNABLE])
def test_one_fits_a_terminal(name: str) -> None:
    """Nothing is wider than 80 columns, except for lines to copy, which are indented."""
    lines = describe_target(name).splitlines()
    assert lines[0].startswith(f"{name}: ")
    assert [line for line in lines if len(line) > 80 and not line.startswith("    ")] == []


@pytest.mark.parametrize("name", TARGETS)
def test_everything_that_is_known_is_shown(name: str) -> None:
    """Columns, shift, versions, lines and notes are there."""
    target = TARGETS[name]
    text = " ".join(describe_target(name).split())
    for column in target.unpacked.columns:
        assert column in text
    for known in (target.tested, target.evidence, target.shift, target.folder, *target.notes):
        assert " ".join(known.split()) in text


def test_a_trainer_without_ids() -> None:
    """It is said that it takes none, and what to use instead."""
    text = " ".join(describe_target("ms-swift").split())
    assert "token ids no. " in text
    assert UNABLE["ms-swift"].instead in text


def test_an_unknown_name() -> None:
    """The closest name is suggested."""
    with pytest.raises(UsageError, match=r"there is no target 'axolotll'\. Did you mean 'axol"):
        describe_target("axolotll")
