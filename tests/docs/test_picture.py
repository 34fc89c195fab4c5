"""The README's picture shows what the program prints."""

import importlib.util
from types import ModuleType
from xml.etree import ElementTree

import pytest
from toys import SAMPLE_DATA

SCRIPT = SAMPLE_DATA.parent / ".github" / "make_preview.py"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return the script that draws the picture, as a module."""
    spec = importlib.util.spec_from_file_location("make_preview", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(picture: str) -> str:
    """Return the text in a picture; a line that was wrapped is one again."""
    lines: list[str] = []
    for element in ElementTree.fromstring(picture).iter(f"{SVG}g"):
        text = "".join(element.itertext())
        if element.get("class") == "continued":
            lines[-1] += text
        else:
            lines.append(text)
    return "\n".join(lines)


def test_picture_shows_what_the_program_prints(script: ModuleType) -> None:
    """The picture holds the command and all it prints. If not: python .github/make_preview.py."""
    output = script.coloured_output()
    picture = script.PICTURE.read_text(encoding="utf-8")
    assert text_of(picture) == f"$ {script.COMMAND}\n{script.plain(output)}".rstrip("\n")
    assert picture == script.svg(output)


def test_picture_keeps_colours_and_signs(script: ModuleType) -> None:
    """Trained text is green, other text grey, a control token on a background; & and < are kept."""
    picture = script.svg("\x1b[2ma&b\x1b[0m\x1b[32;7m<c>\x1b[0m\x1b[32;4m中\x1b[0m")
    texts = ElementTree.fromstring(picture).findall(f"{SVG}g")[-1].findall(f"{SVG}text")
    assert [(t.text, t.get("fill"), t.get("text-decoration")) for t in texts] == [
        ("a&b", script.GREY, None),
        ("<c>", script.FRAME, None),
        ("中", script.GREEN, "underline"),
    ]
    assert f'fill="{script.GREEN}"/>' in picture  # the background
    assert [float(t.get("textLength", "")) for t in texts] == [25.2, 25.2, 16.8]
