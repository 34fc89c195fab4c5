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
ONLY_IN = {
    "typer": {"cli/app.py", "cli/options.py"},
    "tqdm": {"cli/progress_bar.py"},
    "transformers": {"tokenization/tokenizer.py"},
    "gigatoken": {"tokenization/backends.py"},
    "awkward": {"tokenization/backends.py"},
    "subprocess": {"engine/local/fork_server.py"},
    "multiprocessing": {
        f"engine/local/{name}.py" for name in ("pool", "messages", "fork_server", "worker")
    },
    "ctypes": {"system/memory.py", "system/linux.py", "dataset/staging.py"},
    "fcntl": {"dataset/staging.py"},
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
