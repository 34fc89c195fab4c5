"""The README and the manual: every example does what the page says, and every link leads somewhere.

``pytest tests/docs --update-golden`` writes what the commands really print into the pages.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs.examples import Reader, blocks, corrected, matches
from docs.loaded_program import Loaded, loaded
from toys import SAMPLE_DATA

from sftprep.views.manual import FOLDER, topics

ROOT = SAMPLE_DATA.parent
README = ROOT / "README.md"
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
PAGES = [README, *sorted(FOLDER.glob("*.md"))]
NAMES = [page.stem for page in PAGES]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The commands that run the program."""
    with loaded(tmp_path_factory.mktemp("p")) as commands:
        yield commands


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_examples_do_what_the_page_says(
    page: Path, tmp_path: Path, program: Loaded, request: pytest.FixtureRequest
) -> None:
    """Each command of a page prints what stands below it, and each script ends without an error."""
    text = page.read_text(encoding="utf-8")
    differences = list(Reader(tmp_path, SAMPLE_DATA, *program).differences(page.name, text))
    if request.config.getoption("--update-golden"):
        page.write_text(corrected(text, differences), encoding="utf-8")
    if differences:
        pytest.fail("\n\n".join(f"{d.where}: {d.problem}" for d in differences), pytrace=False)


@pytest.mark.parametrize("page", [*PAGES, CONTRIBUTING], ids=[*NAMES, CONTRIBUTING.stem])
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file leads to one, and each link to a heading to a heading of that page."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        if target.startswith("https://"):
            continue
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not heading or heading in anchors(file), target


def anchors(page: Path) -> set[str]:
    """Return the names by which GitHub knows the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_index_lists_every_page() -> None:
    """The index names every page of the folder, each with the description in its first line."""
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert set(topics()) == {page.stem for page in FOLDER.glob("*.md")} - {"index"}
    for name, description in topics().items():
        assert f"- [{name}]({name}.md): {description}\n" in index


def test_picture_of_the_rooms_is_complete() -> None:
    """The picture in CONTRIBUTING names every folder and every module at the top of the package."""
    text = CONTRIBUTING.read_text(encoding="utf-8")
    picture = next(block.body for block in blocks(text) if block.body.startswith("sftprep/\n"))
    drawn = set(re.findall(r"(?<=\s)([a-z_]+(?:/|\.py))(?=\s)", picture))
    package = ROOT / "sftprep"
    folders = {f"{path.name}/" for path in package.iterdir() if path.is_dir()} - {"__pycache__/"}
    modules = {path.name for path in package.glob("[!_]*.py")}
    assert folders | modules <= drawn


def test_readme_links_to_every_page() -> None:
    """The README leads to every page of the manual."""
    readme = README.read_text(encoding="utf-8")
    assert [name for name in topics() if f"(sftprep/docs/{name}.md" not in readme] == []


def test_readme_has_the_two_commands_that_ci_runs() -> None:
    """``.ci/run`` takes the README's commands from the block after each of two comments."""
    notes = [(block.note, block.language) for block in blocks(README.read_text(encoding="utf-8"))]
    assert [n for n in notes if n[0]] == [("command: run", "bash"), ("command: test", "bash")]


# --- the runner itself --------------------------------------------------------------------------


def differences(page: str, folder: Path) -> list[str]:
    """Run a page that is written in the test, and return what is wrong with it."""
    return [d.problem for d in Reader(folder, SAMPLE_DATA).differences("page", page)]


def test_right_examples_pass(tmp_path: Path) -> None:
    """Examples of every kind pass if they do what the page says."""
    page = (
        "<!-- file: a.yaml -->\n```yaml\na: 1\n```\n"
        "```bash\ncat a.yaml > b\n```\n"
        "```text\n$ cat b \\\n    a.yaml\na: 1\na: 1\n$ echo error: no; false\nerror: no\n```\n"
        "```python\nprint(open('b').read().strip())  # a: 1\n```\n"
        "```text\na picture\n```\n"
        "<!-- not run: it fails -->\n```bash\nfalse\n```\n"
    )
    assert differences(page, tmp_path) == []


@pytest.mark.parametrize(
    "page",
    [
        "```text\n$ echo b\na\n```\n",
        "```text\n$ echo a; false\na\n```\n",
        "```text\n$ echo error: a\nerror: a\n```\n",
        "```bash\nfalse; true\n```\n",
        "```python\n1 / 0\n```\n",
        "```python\nprint(1)  # 2\n```\n",
        "```ruby\n```\n",
    ],
)
def test_wrong_examples_fail(page: str, tmp_path: Path) -> None:
    """Another output, an exit code that does not fit it, and an unknown language are noticed."""
    assert len(differences(page, tmp_path)) == 1


def test_dots_stand_for_any_lines() -> None:
    """A line ``...`` stands for none, one or many lines, and for nothing else."""
    assert matches("a\n...\nd\n", "a\nb\nc\nd\n")
    assert matches("a\n...\n", "a\n")
    assert not matches("a\n...\nd\n", "a\nb\n")
    assert not matches("a...\n", "ab\n")


def test_output_is_corrected_on_request(tmp_path: Path) -> None:
    """The corrected page holds what was printed, unless the page leaves out lines on purpose."""
    page = "```text\n$ echo b\na...\n$ echo c\n$ seq 3\n...\n2\n```\n"
    found = list(Reader(tmp_path, SAMPLE_DATA).differences("page", page))
    assert corrected(page, found) == "```text\n$ echo b\nb\n$ echo c\nc\n$ seq 3\n...\n2\n```\n"
