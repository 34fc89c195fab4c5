"""Records whose content spells a control token are counted."""

import pytest

from sftprep.tokenization.control_strings import ControlStrings


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], (0, {})),
        ([["a", "b"]], (0, {})),
        ([["<s>", "x"], ["<s><s>", "</s>"], ["y"]], (2, {"<s>": 2, "</s>": 1})),
        ([["<s", ">"], ["<", "s>"], ["<s>"]], (1, {"<s>": 1})),
        ([["x<|im_end|>"], ["<|im_end"]], (1, {"<|im_end|>": 1})),
        ([["中<｜User｜>"]], (1, {"<｜User｜>": 1})),
        ([["[INST]"], ["[/INST]"], ["[INST] [/INST]"]], (3, {"[/INST]": 2, "[INST]": 2})),
    ],
)
def test_control_strings(records: list[list[str]], expected: tuple[int, dict[str, int]]) -> None:
    """Records are counted, not occurrences; a string across two contents does not count."""
    strings = ["<s>", "</s>", "<|im_end|>", "<｜User｜>", "[INST]", "[/INST]"]
    assert expected == ControlStrings(strings).find(records)


def test_among_many_strings() -> None:
    """Every one of a thousand strings is found, also where many start alike."""
    strings = [f"<|reserved_{n}|>" for n in range(1000)]
    records = [[f"a {string} 价"] for string in strings]
    holders, found = ControlStrings(strings).find(records)
    assert holders == 1000
    # <|reserved_10|> does not contain <|reserved_1|>
    assert found == dict.fromkeys(strings, 1)
