"""Modules in place of others that a reader imports, but does not use for our rows."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any


class Replaced(ModuleType):
    """A module in which each name is a class without anything."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def replace(*names: str) -> None:
    """Put such modules in the place of some."""
    for name in names:
        sys.modules[name] = Replaced(name)


def import_alone(*packages: str) -> None:
    """Let modules of packages be imported without what the packages themselves import.

    Args:
        packages: their names, each behind the package that it is in.
    """
    for name in packages:
        path = name.replace(".", "/")
        module = ModuleType(name)
        module.__path__ = [next(f"{f}/{path}" for f in sys.path if Path(f, path).is_dir())]
        sys.modules[name] = module
