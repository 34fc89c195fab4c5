"""views.manual: pages of the manual for a terminal, and the list of topics."""

import re
import subprocess
import sys

import pytest

from sftprep.errors import UsageError
from sftprep.views.manual import FOLDER, manual_page, topics

ANSI = re.compile(r"\x1b\[[\d;]*m")


def test_list_names_each_topic_with_its_description() -> None:
    """Without a topic, the manual lists all topics in the order of the index, one line each."""
    lines = manual_page(None, colour=False).splitlines()
    assert lines[0] == "The manual:"
    assert lines[2] == "  data         the files and records that sftprep reads"
    assert lines[-1] == "sftprep help TOPIC shows a page."
    assert [line.split()[0] for line in lines[2:-2]] == list(topics())
    assert manual_page(None, colour=True) == manual_page(None, colour=False)


def test_order_of_topics() -> None:
    """A new user reads about data first, and about exit codes and changes last."""
    assert list(topics()) == [
        "data", "lint", "init", "templates", "masks", "look", "truncation", "arrange", "options",
        "targets", "output", "resume", "stats", "verify", "diff", "report", "python", "performance",
        "exit-codes", "changelog",
    ]  # fmt: skip


def test_plain_page_is_the_markdown_without_comments() -> None:
    """Without colours, a page is its Markdown; comments for the tests are left out."""
    text = manual_page("options", colour=False)
    source = (FOLDER / "options.md").read_text(encoding="utf-8")
    assert text.startswith("# Options: every option of sftprep prepare\n")
    assert "<!-- file: recipe.yaml -->" in source
    assert "<!--" not in text
    assert "```yaml\ninputs: [sample_data/messages.jsonl]\n" in text


@pytest.mark.parametrize("topic", topics())
def test_links_become_commands(topic: str) -> None:
    """A link to another page becomes the command that shows that page."""
    source = (FOLDER / f"{topic}.md").read_text(encoding="utf-8")
    text = manual_page(topic, colour=False)
    assert ".md)" not in text
    for linked in re.findall(r"\]\(([a-z-]+)\.md\)", source):
        assert f"(`sftprep help {linked}`)" in text


def test_page_is_laid_out_for_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With colours, the page fits the terminal's width, and its Markdown signs are gone."""
    monkeypatch.setenv("COLUMNS", "60")
    text = manual_page("truncation", colour=True)
    lines = ANSI.sub("", text).splitlines()
    assert "\x1b[" in text
    assert max(map(len, lines)) <= 60
    assert not any("```" in line or line.startswith("#") for line in lines)


def test_lines_are_never_too_wide_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a very wide terminal, a page has at most 100 columns."""
    monkeypatch.setenv("COLUMNS", "300")
    assert 80 < max(map(len, ANSI.sub("", manual_page("masks", colour=True)).splitlines())) <= 100


def test_unknown_topic_suggests_the_closest() -> None:
    """An unknown topic is a usage error that names the closest topic."""
    with pytest.raises(UsageError) as error:
        manual_page("truncate", colour=False)
    expected = "the manual has no topic 'truncate'. Did you mean 'truncation'?"
    assert str(error.value) == expected


def test_unknown_topic_lists_the_topics() -> None:
    """If no topic is close to an unknown one, the error lists all topics."""
    with pytest.raises(UsageError) as error:
        manual_page("\x1b[2J", colour=False)
    assert str(error.value) == (
        r"the manual has no topic '\x1b[2J'. Choose data, lint, init, templates, masks, look, "
        "truncation, arrange, options, targets, output, resume, stats, verify, diff, report, "
        "python, performance, exit-codes, changelog."
    )


def test_index_is_no_topic() -> None:
    """The index is shown as the list, not as a page."""
    with pytest.raises(UsageError):
        manual_page("index", colour=False)


def test_module_loads_without_rich() -> None:
    """Rich is loaded only for a page that is laid out."""
    code = "import sys, sftprep.views.manual as m; m.manual_page('data', colour=False); "
    code += "sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
