"""The names of the formats can be had without their libraries."""

import subprocess
import sys

from sftprep.formats.names import FORMAT_NAMES
from sftprep.formats.table import FORMATS


def test_the_names_are_those_of_the_table() -> None:
    """Every name has a module in the table, and the table has no other."""
    assert tuple(FORMATS) == FORMAT_NAMES


def test_the_names_need_no_library() -> None:
    """Importing the names loads neither numpy nor Arrow."""
    code = (
        "import sys; from sftprep.formats.names import FORMAT_NAMES; "
        "print(sorted({'numpy', 'pyarrow', 'orjson'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
