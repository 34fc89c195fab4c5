"""report: what the page holds, that nothing of the data acts in it, and that it is the same."""

import re
import shutil
from pathlib import Path

import pytest
from views.report.reports import CHINESE, HOSTILE, Page, build, lint_file

from sftprep.dataset.manifest import load_manifest
from sftprep.errors import NoInputError, UsageError
from sftprep.statistics.of_dataset import of_dataset
from sftprep.views.choice import Choice
from sftprep.views.report.page import report_page

SECTIONS = ("lengths", "sources", "limits", "losses", "packing", "rows", "made")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with cut and rejected records."""
    folder = tmp_path_factory.mktemp("report")
    return build(folder / "data<i>", max_length=90, truncation="keep-start", validation="20%")


def page_of(folder: Path, choice: Choice | None = None, lint: Path | None = None) -> str:
    """Return the report of a dataset."""
    lint_json = None if lint is None else str(lint)
    return report_page(str(folder), choice or Choice(rows=5), batch_size=32, lint_json=lint_json)


def _tiles(text: str) -> str:
    """Return the figures that come first, each before its label."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd></div>", text)
    return " ".join(f"{value} {label}" for label, value in found)


def test_all_sections_in_order(dataset: Path, tmp_path: Path) -> None:
    """Each section has a link; that of lint is there only if its findings are given."""
    for lint in (None, lint_file(tmp_path)):
        page = Page(page_of(dataset, lint=lint))
        expected = [*SECTIONS[:-1], *(["lint"] if lint else []), "made"]
        ids = [value for name, value in page.attributes if name == "id"]
        assert [name for name in ids if name in (*SECTIONS, "lint")] == expected
        links = [value for name, value in page.attributes if name == "href"]
        assert links == ["data:,", "#main", *(f"#{name}" for name in expected)]
        assert len(ids) == len(set(ids))


def test_nothing_is_loaded_and_nothing_runs(dataset: Path, tmp_path: Path) -> None:
    """The page has no script, no event and no address; its policy forbids them, too."""
    text = page_of(dataset, lint=lint_file(tmp_path))
    page = Page(text)
    assert {"script", "img", "iframe", "object", "form", "b1", "i1"} & set(page.tags) == set()
    assert page.tags.count("style") == 1
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "src"
        assert "//" not in value
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_hostile_text_is_shown_as_text(dataset: Path, tmp_path: Path) -> None:
    """Markup in contents, names and examples is text; what acts on a reader is an escape."""
    page = Page(page_of(dataset, lint=lint_file(tmp_path)))
    visible = HOSTILE.replace("\u202e", r"\u202e").replace("\x1b", r"\x1b")
    assert visible in page.by_id["rows"]
    assert "<script>alert(1)</script>" in page.by_id["lint"]
    assert "chats<b>.jsonl:7" in page.by_id["lint"]
    assert "a remark <i>" in page.by_id["lint"]
    assert "chats<b>.jsonl" in page.by_id["sources"]
    assert "data<i>" in page.text
    assert not set("\u202e\x1b") & set(page.text)


def test_figures_are_those_of_stats(dataset: Path) -> None:
    """Rows, tokens, histograms, splits and rejected records are those that stats counts."""
    found = of_dataset(dataset, batch_size=32)
    text = page_of(dataset)
    page = Page(text)
    for title, spread in (("Tokens", found.rows.tokens), ("Trained tokens", found.rows.trained)):
        assert spread is not None
        table = text[text.index(f"<caption>{title} per row</caption>") :].partition("</table>")[0]
        bars = re.findall(r'style="width:([\d.]+)%".*<td class="n">([\d,]+)</td>', table)
        counts = [int(count.replace(",", "")) for _, count in bars]
        assert sum(counts) == sum(each.count for each in spread.histogram) == found.rows.rows
        for width, count in zip((float(width) for width, _ in bars), counts, strict=True):
            assert width == pytest.approx(100 * count / max(counts), abs=0.5)
    assert found.rows.tokens is not None
    assert f"{found.rows.tokens.total:,}tokens" in re.sub(r"\s", "", _tiles(text))
    assert "train" in page.by_id["sources"]
    assert "validation" in page.by_id["sources"]
    assert "1 rejected" in page.by_id["losses"]
    (reason,) = found.losses.rejected
    assert f"{reason}1" in re.sub(r"\s", "", page.by_id["losses"])


def test_rows_show_chinese_the_cut_and_the_reasons(dataset: Path) -> None:
    """Chinese stands whole, though its characters have several tokens; a cut says what is lost."""
    text = page_of(dataset, Choice(rows=3, cut=True))
    rows = Page(text).by_id["rows"]
    assert rows.count(CHINESE) == 3
    assert rows.count("cut: ") == 3
    assert "not an answer, and --train-on is completion" in rows
    assert "Chosen with --cut." in rows
    assert re.search(r'<span class="m c">&lt;\|im_start\|&gt;</span>', text)
    assert '<span class="t">' in text


def test_the_mask_is_that_of_the_row(dataset: Path) -> None:
    """What is trained is the answer; the prompt is masked."""
    text = page_of(dataset, Choice(line="chats<b>.jsonl:1"))
    body = text[text.index('<div class="tokens"') :]
    body = body[: body.index("</div>")]
    by_kind = {"m": "", "t": ""}
    for kind, shown in re.findall(r'<span class="([mt])[ c]*">(.*?)</span>', body, re.S):
        by_kind[kind] += shown
    assert f"{CHINESE} 0" in by_kind["m"]
    assert "alert(1)" in by_kind["t"]
    assert "alert(1)" not in by_kind["m"]


def test_how_to_make_it_again(dataset: Path) -> None:
    """The command, the fingerprint, all hashes and versions are there."""
    manifest = load_manifest(dataset)
    made = Page(page_of(dataset)).by_id["made"]
    for text in (
        manifest.fingerprint,
        manifest.digest_of_rows,
        manifest.template["sha256"],
        manifest.template["source"],
        manifest.tokenizer["sha256"],
        *(entry["sha256"] for entry in manifest.inputs),
        *(shard["sha256"] for shard in manifest.shards),
        *(f"{name} {version}" for name, version in manifest.libraries.items()),
        "--max-length 90",
        "sftprep prepare 'chats<b>.jsonl'",
    ):
        assert text in made


def test_the_same_dataset_gives_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    """A copy of the dataset in another place has the same report."""
    copy = tmp_path / "elsewhere" / dataset.name
    shutil.copytree(dataset, copy)
    assert page_of(copy) == page_of(dataset)


def test_packs_are_shown(tmp_path: Path) -> None:
    """Of a packed dataset, documents are counted, and the packs say how full they are."""
    page = Page(page_of(build(tmp_path / "packed", pack=True, pack_length=512)))
    assert "Tokens per document" in page.by_id["lengths"]
    assert "filled" in page.by_id["packing"]
    assert ", document " in page.by_id["rows"]


def test_other_inputs_are_told(dataset: Path, tmp_path: Path) -> None:
    """If lint has read other files, the page says so."""
    lint = lint_file(tmp_path)
    remark = "The dataset was made from other inputs than these."
    assert remark not in page_of(dataset, lint=lint)
    lint.write_text(lint.read_text("utf-8").replace('["chats<b>', '["others<b>'), "utf-8")
    assert remark in page_of(dataset, lint=lint)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"inputs": 3}', "not JSON"])
def test_a_file_that_lint_has_not_printed(content: str, dataset: Path, tmp_path: Path) -> None:
    """The error says what the file is, and how to make it."""
    path = tmp_path / "lint.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"is not what lint prints\. Make it with: sftprep lint"):
        page_of(dataset, lint=path)


def test_no_dataset(tmp_path: Path) -> None:
    """A folder without a manifest is no dataset."""
    with pytest.raises(NoInputError):
        page_of(tmp_path)
