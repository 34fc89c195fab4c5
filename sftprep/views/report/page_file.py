"""The file of a page: checked before any work, and written whole."""

import os
from pathlib import Path

from sftprep.errors import OutputError
from sftprep.text import ascii_safe


class PageFile:
    """The file of a page.

    Args:
        path: its path.
        overwrite: whether a file with this name is replaced.

    Raises:
        OutputError: there is such a file, or no folder for it.
    """

    def __init__(self, path: str, *, overwrite: bool) -> None:
        self._path = Path(path)
        self._name = ascii_safe(path)
        self._overwrite = overwrite
        if self._path.is_dir():
            raise OutputError(f"{self._name}: is a folder. Name a file.")
        if os.path.lexists(path) and not overwrite:
            raise self._exists()
        if not self._path.parent.is_dir():
            raise OutputError(f"{self._name}: there is no such folder. Create it first.")

    def write(self, page: str) -> None:
        """Write the page. If that fails, an older page stays as it was, and no part is left."""
        new = self._path
        if self._overwrite:
            new = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        try:
            with new.open("x", encoding="utf-8", newline="\n") as file:
                try:
                    file.write(page)
                    file.flush()
                except BaseException:
                    new.unlink()
                    raise
            if self._overwrite:
                new.replace(self._path)
        except FileExistsError as error:
            raise self._exists() from error
        except OSError as error:
            raise OutputError(f"{self._name}: cannot be written: {error.strerror}.") from error

    def _exists(self) -> OutputError:
        return OutputError(
            f"{self._name}: exists already. Pass --overwrite to replace it, or name another file."
        )
