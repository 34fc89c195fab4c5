"""The package as a whole: its public names, what it loads when, its modules' docstrings.

Who may import whom is checked by import-linter: see the contracts in ``pyproject.toml``.
"""

import ast
import doctest
import importlib
import pydoc
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import sftprep

PACKAGE = Path(sftprep.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {
    "awkward", "datasets", "gigatoken", "jinja2", "pyarrow", "rich", "tokenizers", "torch", "tqdm",
    "transformers",
}  # fmt: skip
"""Libraries that take long to import. Jinja is loaded for chat templates alone."""


def name_of(path: Path) -> str:
    """A module's path inside the package."""
    return str(path.relative_to(PACKAGE))


@cache
def parsed(path: Path) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def loaded_at_import(path: Path) -> set[str]:
    """The top-level packages that a module imports when it is itself imported."""
    tree = parsed(path)
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) or is_for_type_checker(node)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in late:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} has a relative import"
            found.add(str(node.module).split(".")[0])
    return found


def is_for_type_checker(node: ast.AST) -> bool:
    """Whether a node is a block that only the type checker reads."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def test_heavy_libraries_are_imported_late() -> None:
    """A heavy library is imported inside the function that needs it."""
    early = {}
    for path in MODULES:
        allowed = {"jinja2"} if "templates/jinja/" in name_of(path) else set()
        allowed |= {"pyarrow"} if name_of(path) in OF_TABLES else set()
        allowed |= {"rich"} if name_of(path) in OF_TERMINALS else set()
        early[name_of(path)] = (loaded_at_import(path) & HEAVY) - allowed
    assert {name: found for name, found in early.items() if found} == {}


OF_TABLES = ("reading/arrow_rows.py", "reading/table_blocks.py")
"""Modules that need pyarrow in every line, and are imported late themselves."""


OF_TERMINALS = ("views/stats.py",)
"""Modules that lay out text in every line, and are imported late themselves."""


def test_modules_of_terminals_are_imported_late() -> None:
    """A command that does not show figures never loads them."""
    code = "import sys, sftprep.cli.app, sftprep.cli.stats; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_modules_of_tables_are_imported_late() -> None:
    """A run on JSON Lines never loads them."""
    code = "import sys, sftprep.run, sftprep.views.preview; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_module_has_a_docstring() -> None:
    """Every module says what it is."""
    assert [name_of(path) for path in MODULES if not ast.get_docstring(parsed(path))] == []


@pytest.mark.parametrize(
    "path", [p for p in MODULES if ">>> " in p.read_text(encoding="utf-8")], ids=name_of
)
def test_examples_in_docstrings(path: Path) -> None:
    """What a docstring's example shows is what the code gives."""
    name = ".".join(["sftprep", *path.relative_to(PACKAGE).with_suffix("").parts])
    module = importlib.import_module(name.removesuffix(".__init__"))
    assert doctest.testmod(module).failed == 0


def test_public_names() -> None:
    """``__all__`` holds what the package offers, all of it exists, and ``dir`` lists it."""
    assert sftprep.__all__[:2] == ["prepare", "Recipe"]
    assert len(set(sftprep.__all__)) == len(sftprep.__all__)
    for name in sftprep.__all__:
        assert getattr(sftprep, name).__module__.startswith("sftprep")
    assert dir(sftprep) == sorted([*sftprep.__all__, "__version__"])


def test_help_of_the_package() -> None:
    """``help(sftprep)`` begins with the names that a caller looks for, and documents all."""
    text = pydoc.plain(pydoc.render_doc(sftprep))
    start = text.index("prepare(recipe)")
    assert start < text.index("Recipe(...)") < text.index("CLASSES")
    assert "class Recipe(builtins.object)" in text
    assert "prepare(recipe: sftprep.recipe.Recipe" in text


def test_importing_the_package_is_quick() -> None:
    """The package and its options load neither numpy nor anything heavy."""
    code = "import sys, sftprep; sftprep.Recipe(); print(sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ast.literal_eval(run.stdout)) & {*HEAVY, "numpy", "yaml", "orjson"} == set()


def test_unknown_name() -> None:
    """An unknown name is an AttributeError, as it is for any module."""
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
