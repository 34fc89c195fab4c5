"""page_file: a file that exists stays, unless it is to be replaced."""

from pathlib import Path

import pytest
from views.commands import run
from views.report.reports import build

from sftprep.errors import OutputError
from sftprep.views.report.page_file import PageFile


def test_a_new_file(tmp_path: Path) -> None:
    """The page is written whole."""
    PageFile(str(tmp_path / "a.html"), overwrite=False).write("您好\n")
    assert (tmp_path / "a.html").read_bytes() == "您好\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_a_file_that_exists(tmp_path: Path) -> None:
    """It is refused before any work, and also if it appears meanwhile; it is replaced if asked."""
    path = tmp_path / "a.html"
    early = PageFile(str(path), overwrite=False)
    path.write_text("old")
    with pytest.raises(OutputError, match=r"exists already\. Pass --overwrite"):
        PageFile(str(path), overwrite=False)
    with pytest.raises(OutputError, match=r"exists already\. Pass --overwrite"):
        early.write("new")
    assert path.read_text() == "old"
    PageFile(str(path), overwrite=True).write("new")
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["a.html"]


def test_no_part_is_left(tmp_path: Path) -> None:
    """A page that cannot be written leaves nothing, and an older one as it was."""
    (tmp_path / "old.html").write_text("old")
    for name, overwrite in (("new.html", False), ("old.html", True)):
        with pytest.raises(UnicodeEncodeError):
            PageFile(str(tmp_path / name), overwrite=overwrite).write("\ud800")
    assert [each.name for each in tmp_path.iterdir()] == ["old.html"]
    assert (tmp_path / "old.html").read_text() == "old"


def test_no_place(tmp_path: Path) -> None:
    """A folder, and a folder that does not exist, are refused."""
    with pytest.raises(OutputError, match="is a folder"):
        PageFile(str(tmp_path), overwrite=True)
    with pytest.raises(OutputError, match="there is no such folder"):
        PageFile(str(tmp_path / "none" / "a.html"), overwrite=False)


def test_command(tmp_path: Path) -> None:
    """The command writes the page once; a second time only with --overwrite."""
    folder, page = build(tmp_path / "out"), tmp_path / "a.html"
    first = run("report", folder, "--html", page)
    assert (first.exit_code, first.stdout) == (0, "")
    data = page.read_bytes()
    second = run("report", folder, "--html", page)
    assert second.exit_code == 73
    assert run("report", folder, "--html", page, "--overwrite").exit_code == 0
    assert page.read_bytes() == data
    assert run("report", folder).exit_code == 2
    assert run("report", folder, "--html", page, "--overwrite", "--batch-size", "0").exit_code == 2
