"""The names of fields."""

import subprocess
import sys

from sftprep.schemas.fields import FIELDS, Fields


def test_fields_have_their_own_names_unless_renamed() -> None:
    """Each canonical name maps to itself, or to the name that ``--field`` gives."""
    assert Fields() == {name: name for name in FIELDS}
    assert Fields({"prompt": "question"})["prompt"] == "question"
    assert Fields({"prompt": "question"})["completion"] == "completion"


def test_the_output_has_synonyms_unless_it_is_renamed() -> None:
    """The names tried for an instruction record's output."""
    names = ("output", "response", "answer", "target")
    assert Fields().names("output") == (*names, *map(str.capitalize, names))
    assert Fields({"output": "solution"}).names("output") == ("solution",)


def test_options_can_be_checked_without_heavy_imports() -> None:
    """Importing the names loads neither numpy nor the JSON parser."""
    code = (
        "import sys; import sftprep.schemas.fields, sftprep.reading.limits;"
        "assert not {'numpy', 'orjson', 'pyarrow'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
