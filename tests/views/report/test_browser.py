"""report: the page in a browser: nothing is cut off, every chart is drawn, no error is told.

The page stands in a frame of the width that is tried, and a script outside measures it.
"""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from views.report.reports import build, lint_file

from sftprep.views.choice import Choice
from sftprep.views.report.page import report_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 120
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--allow-file-access-from-files", "--enable-logging=stderr", "--window-size=1400,1200",
    "--virtual-time-budget=5000", "--dump-dom",
)  # fmt: skip
MEASURE = """<!doctype html><meta charset="utf-8">
<iframe src="page.html" style="width:WIDTHpx;height:1000px;border:0"></iframe><pre></pre>
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const all = (query) => [...page.querySelectorAll(query)];
  const style = (element) => page.defaultView.getComputedStyle(element);
  all("details").forEach((element) => { element.open = true; });
  const inside = (element) => {
    const box = element.getBoundingClientRect();
    return box.left >= -0.5 && box.right <= root.clientWidth + 0.5;
  };
  const shown = all("section *, header *").filter((e) => !e.closest(".hidden"));
  const focused = all("a, summary, pre").map((element) => {
    element.focus();
    return page.activeElement === element;
  });
  document.querySelector("pre").textContent = JSON.stringify({
    width: root.clientWidth,
    scrolled: root.scrollWidth,
    outside: shown.filter((element) => !inside(element)).map((e) => e.outerHTML.slice(0, 80)),
    cut: shown.filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
      && style(e).overflowX !== "visible").map((e) => e.outerHTML.slice(0, 80)),
    bars: all(".bar > span").map((e) => [e.style.width, e.getBoundingClientRect().width
      / e.parentElement.getBoundingClientRect().width, e.getBoundingClientRect().height]),
    unpainted: all(".bar > span").filter(
      (e) => style(e).backgroundColor === style(e.parentElement).backgroundColor).length,
    focused: focused.every(Boolean) && focused.length,
    back: style(page.body).backgroundColor,
    text: style(page.body).color,
  });
});
</script>
"""

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a dataset with all kinds of sections, and long names."""
    folder = tmp_path_factory.mktemp("browser")
    dataset = build(
        folder / ("a_long_name_without_a_space_" * 4),
        max_length=700,
        truncation="keep-start",
        validation="20%",
    )
    text = report_page(
        str(dataset), Choice(rows=3), batch_size=32, lint_json=str(lint_file(folder))
    )
    (folder / "page.html").write_text(text, encoding="utf-8")
    return folder


def measured(folder: Path, width: int, *flags: str) -> tuple[dict[str, Any], list[str]]:
    """Load the page at a width.

    Returns:
        What was measured, and what the browser's console says.
    """
    (folder / "frame.html").write_text(MEASURE.replace("WIDTH", str(width)), encoding="utf-8")
    assert BROWSER is not None
    profile = f"--user-data-dir={folder / 'profile'}"
    ran = subprocess.run(
        [BROWSER, *FLAGS, profile, *flags, (folder / "frame.html").as_uri()],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    found = re.search(r"<pre>(\{.*?\})</pre>", ran.stdout, re.DOTALL)
    assert found, ran.stdout[:2000] + ran.stderr[-2000:]
    console = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    value: dict[str, Any] = json.loads(unescape(found[1]))
    return value, console


@pytest.mark.parametrize("width", [320, 390, 700, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_a_browser(scheme: str, width: int, page: Path) -> None:
    """At each width and in both schemes, all is inside the page, drawn and reachable."""
    number = {"dark": 0, "light": 1}[scheme]
    found, console = measured(page, width, f"--blink-settings=preferredColorScheme={number}")
    assert console == []
    assert found["width"] >= width - 20
    assert found["outside"] == []
    assert found["scrolled"] <= found["width"]
    assert found["cut"] == []
    assert found["focused"] > 10
    text = (page / "page.html").read_text(encoding="utf-8")
    assert len(found["bars"]) == text.count('style="width:') > 20
    assert found["unpainted"] == 0
    for asked, drawn, height in found["bars"]:
        assert drawn == pytest.approx(float(asked.removesuffix("%")) / 100, abs=0.01)
        assert height > 8
    back, front = (sum(map(int, re.findall(r"\d+", found[name])[:3])) for name in ("back", "text"))
    assert (back < front) == (scheme == "dark")
