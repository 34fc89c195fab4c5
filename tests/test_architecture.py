"""The rules of the code's shape: who imports whom, what is loaded late, what is public."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import sftprep

PACKAGE = Path(sftprep.__file__).parent
MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))
LONGEST = 350
LONGEST_FUNCTION = 40
"""Lines below the docstring: a signature may be long where a command has many options."""

DATA = {"errors", "records", "tokenizer"}
"""What every stage may know: the errors, what travels, and what a tokenizer is."""

ALLOWED = {
    "errors": set[str](),
    "records": set[str](),
    "tokenizer": {"errors"},
    "streams": set[str](),
    "choices": set[str](),
    "decompress": {"choices", "errors", "streams"},
    "arrays": {"errors", "streams"},
    "sources": {"errors"},
    "read": {"choices", "errors", "streams", "decompress", "arrays", "encodings", "sources"},
    "recipe": {"choices", "errors", "read"},
    "encodings": set[str](),
    "parse": DATA | {"encodings"},
    "normalize": DATA | {"choices"},
    "templates": DATA,
    "render": DATA | {"templates"},
    "layout": DATA,
    "encode": DATA | {"memory", "backends", "codepoints", "cuts", "encoding"},
    "encoding": DATA | {"backends", "exactness"},
    "backends": DATA,
    "cache": set[str](),
    "resolve": {"cache", "encoding", "tokenizer"},
    "exactness": {"errors"},
    "memory": set[str](),
    "codepoints": set[str](),
    "boundary": DATA | {"cuts"},
    "cuts": DATA,
    "assemble": DATA | {"layout"},
    "truncate": DATA,
    "shorten": DATA | {"render", "truncate"},
    "controls": set[str](),
    "sandbox": {"errors"},
    "marks": set[str](),
    "spans": DATA | {"layout", "marks"},
    "chat_normalize": DATA | {"normalize", "parse"},
    "tool_calls": DATA | {"parse"},
    "per_turn": DATA,
    "shards": DATA | {"shards"},
    "engine": DATA | {"engine", "pipeline", "read", "memory", "backends"},
    "cores": set[str](),
    "early": {"cores", "engine", "manifest", "progress", "recipe", "run"},
    "manifest": {"errors"},
    "output": {"errors", "manifest"},
    "journal": {"errors", "manifest", "output", "read"},
    "ledger": set[str](),
    "tally": DATA | {"ledger", "manifest", "pipeline", "read"},
    "progress": {"errors"},
    "summary": {"errors", "manifest"},
}
"""What these modules may import of the package; a stage knows no other stage.

The exceptions: reading and encoding are several modules each, chats hold JSON as text and take the
checks of plain records, assembling takes the layouts' columns, rendering the template's texts, and
spans are found with the layouts' way of finding control tokens. What surrounds the stages (engine,
tally, journal) knows the pipeline or the reader, and not the run.
"""

ONLY_IN = {
    "typer": {"cli.py"},
    "tqdm": {"cli.py", "progress.py"},
    "transformers": {"tokenizer.py"},
    "gigatoken": {"backends.py"},
    "awkward": {"backends.py"},
    "subprocess": {"engine/process.py"},
    "multiprocessing": {f"engine/{name}.py" for name in ("local", "pipes", "process", "worker")},
    "ctypes": {"memory.py", "engine/linux.py", "output.py"},
    "fcntl": {"output.py"},
}
LATE = {
    "transformers",
    "gigatoken",
    "awkward",
    "pyarrow",
    "tqdm",
    "datasets",
    "torch",
    "tokenizers",
}
NEVER = {"torch", "datasets", "pickle", "marshal", "shelve", "requests", "urllib", "socket"}


class Import(NamedTuple):
    """An import, and whether it is done when the module is loaded."""

    name: str  # with its dots
    early: bool


@cache
def tree_of(module: str) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[Import]:
    """All imports of a module."""
    tree = tree_of(module)
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) or (isinstance(node, ast.If) and is_typing(node))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = [str(node.module)]
            if node.module == "sftprep":
                names = [f"sftprep.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(name, id(node) not in late)


def is_typing(node: ast.If) -> bool:
    """Whether a block is for the type checker alone."""
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def of_package(module: str) -> set[str]:
    """The parts of the package that a module imports: the first name below the package."""
    return {i.name.split(".")[1] for i in imports(module) if i.name.startswith("sftprep.")}


def part_of(module: str) -> str:
    """The part of the package that a file belongs to."""
    return Path(module).parts[0].removesuffix(".py")


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) in ALLOWED])
def test_stages_do_not_know_each_other(module: str) -> None:
    """A stage imports what travels and the errors, and no other stage."""
    assert set() == of_package(module) - ALLOWED[part_of(module)]


def test_the_rules_name_modules() -> None:
    """Every module that a rule names exists."""
    assert set() == set(ALLOWED) - {part_of(module) for module in MODULES}


def test_imports_point_one_way() -> None:
    """No two parts of the package import each other, over however many steps."""
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        part = part_of(module)
        if part not in ("__init__", "__main__"):
            graph.setdefault(part, set()).update(of_package(module) - {part})
    while leaves := {part for part, known in graph.items() if not known & set(graph)}:
        for leaf in leaves:
            del graph[leaf]
    assert graph == {}


@pytest.mark.parametrize("module", MODULES)
def test_libraries_stay_in_their_place(module: str) -> None:
    """The terminal's libraries are in the command line alone, transformers in the tokenizer."""
    roots = {i.name.split(".")[0] for i in imports(module)}
    assert {name for name, places in ONLY_IN.items() if module not in places} & roots == set()
    assert set() == roots & NEVER


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_are_imported_late(module: str) -> None:
    """What takes long to import is imported in the function that needs it."""
    assert set() == {i.name.split(".")[0] for i in imports(module) if i.early} & LATE


@pytest.mark.parametrize("module", MODULES)
def test_docstring(module: str) -> None:
    """Every module says what it is."""
    assert ast.get_docstring(tree_of(module))


@pytest.mark.parametrize("module", MODULES)
def test_length(module: str) -> None:
    """No module is too long to be read at once."""
    lines = (PACKAGE / module).read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST


@pytest.mark.parametrize("module", MODULES)
def test_length_of_functions(module: str) -> None:
    """No function is too long to be read at once."""
    long = {
        node.name: lines
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef) and (lines := lines_of(node)) > LONGEST_FUNCTION
    }
    assert long == {}


def lines_of(function: ast.FunctionDef) -> int:
    """The lines of a function's body, from the first statement that is no docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_only_the_command_line_knows_the_views() -> None:
    """What looks at datasets is no part of making them."""
    knowing = {part_of(module) for module in MODULES if "inspect" in of_package(module)}
    assert {"cli", "inspect"} >= knowing


def test_views_do_not_write() -> None:
    """What looks at datasets has nothing to write one with."""
    writing = {
        "sftprep.output", "sftprep.journal", "sftprep.reuse", "sftprep.ledger",
        "sftprep.shards.writer",
    }  # fmt: skip
    views = [module for module in MODULES if part_of(module) == "inspect"]
    assert len(views) > 5
    assert {module: found for module in views if (found := names(module) & writing)} == {}


def names(module: str) -> set[str]:
    """All modules that a module imports."""
    return {i.name for i in imports(module)}


def test_stages_take_no_recipe() -> None:
    """Only the modules around the stages see the options as a whole."""
    knowing = {part_of(module) for module in MODULES if "recipe" in of_package(module)}
    assert {"__init__", "cli", "early", "inspect", "plan", "reuse", "run"} >= knowing


def test_public_names() -> None:
    """``__all__`` is what the package offers, sorted, and all of it is there."""
    assert sorted(sftprep.__all__) == sftprep.__all__
    for name in sftprep.__all__:
        assert getattr(sftprep, name).__module__.startswith("sftprep")
    imported = {
        alias.asname or alias.name
        for node in tree_of("__init__.py").body
        for inner in ast.walk(node)
        if isinstance(inner, ast.ImportFrom) and str(inner.module).startswith("sftprep.")
        for alias in inner.names
    }
    assert set(sftprep.__all__) == imported


def test_unknown_name() -> None:
    """A name that the package does not have is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="module 'sftprep' has no attribute 'nothing'"):
        sftprep.nothing  # noqa: B018


def test_errors_have_exit_codes() -> None:
    """Each kind of error that a caller may catch has its own exit code, as documented."""
    codes = {
        "UsageError": 2, "TemplateError": 2, "TokenizerError": 2, "DataError": 65,
        "NoInputError": 66, "InternalError": 70, "SftprepError": 70, "OutputError": 73,
        "StorageError": 74, "LockedError": 75,
    }  # fmt: skip
    found = {
        name: value.exit_code
        for name in sftprep.__all__
        if isinstance(value := getattr(sftprep, name), type)
        and issubclass(value, sftprep.SftprepError)
    }
    assert codes == found
