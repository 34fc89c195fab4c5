"""Public collections of hostile input: JSON, UTF-8 and naughty strings.

The collections are not part of this project. Without the folder ``shared/corpora`` beside the
repository these tests are skipped.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer as HfTokenizer
from toys import SAMPLE_TOKENIZER, recipe, write_jsonl

from sftprep import DataError, load_manifest, prepare
from sftprep.errors import RecordError
from sftprep.reading.blocks import BlockReader
from sftprep.reading.json_lines import parse_line
from sftprep.reading.sources import find_sources

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"
pytestmark = pytest.mark.skipif(
    not CORPORA.is_dir(), reason="shared/corpora is not there, beside the repository"
)
SUITE = CORPORA / "nst_JSONTestSuite" / "test_parsing"
SPACE = b" \t\r\n"


def verdict(line: bytes) -> str:
    """Return the reason why a line is refused; "ok" for any JSON, "blank" for a blank line."""
    if not line.strip(SPACE):
        return "blank"
    try:
        parse_line(line)
    except RecordError as error:
        return "ok" if error.reason == "not_an_object" else error.reason
    return "ok"


def verdict_of_file(path: Path) -> str:
    """Return the reasons why a file or its records are refused; "ok" if there are none."""
    try:
        blocks = list(BlockReader(find_sources([str(path)]), 1 << 30))
    except DataError:
        return "no array"
    found = {verdict(line) for block in blocks for line in block.lines()} - {"ok", "blank"}
    return ", ".join(sorted(found)) or "ok"


def wrapped(data: bytes) -> bytes:
    """Return a record with this value in a field."""
    return b'{"x": %b}' % data


def suite(kind: str) -> list[Path]:
    """Return the suite's files that must be accepted (y), refused (n), or may be either (i)."""
    return sorted(SUITE.glob(f"{kind}_*.json"))


def test_the_suite_is_whole() -> None:
    """The suite has 318 files."""
    assert [len(suite(kind)) for kind in "yni"] == [95, 188, 35]


DUPLICATES = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
"""Valid JSON on which parsers disagree."""


def test_what_must_be_accepted() -> None:
    """Every valid document is accepted: as a line, as a field and as a file."""
    for path in suite("y"):
        data = path.read_bytes()
        expected = "duplicate_key" if path.name in DUPLICATES else "ok"
        assert (path.name, expected) == (path.name, verdict(data))
        assert (path.name, expected) == (path.name, verdict(wrapped(data)))
        assert (path.name, expected) == (path.name, verdict_of_file(path))


NOTHING = {"n_single_space.json", "n_structure_no_data.json"}
"""These files hold only blank lines."""
NOTHING_IN_A_FILE = {*NOTHING, "n_structure_UTF8_BOM_no_data.json"}


def test_what_must_be_refused() -> None:
    """No invalid document is accepted: as a line, as a field or as a file."""
    for path in suite("n"):
        data = path.read_bytes()
        assert (path.name, verdict(data) == "blank") == (path.name, path.name in NOTHING)
        assert (path.name, False) == (path.name, verdict(data) == "ok")
        assert (path.name, False) == (path.name, verdict(wrapped(data)) == "ok")
        found = verdict_of_file(path)
        assert (path.name, found == "ok") == (path.name, path.name in NOTHING_IN_A_FILE)


OPEN = {
    "number_double_huge_neg_exp": "ok",
    "number_huge_exp": "number_out_of_range",
    "number_neg_int_huge_exp": "number_out_of_range",
    "number_pos_double_huge_exp": "number_out_of_range",
    "number_real_neg_overflow": "number_out_of_range",
    "number_real_pos_overflow": "number_out_of_range",
    "number_real_underflow": "ok",
    "number_too_big_neg_int": "number_out_of_range",
    "number_too_big_pos_int": "number_out_of_range",
    "number_very_big_negative_int": "number_out_of_range",
    "object_key_lone_2nd_surrogate": "lone_surrogate",
    "string_1st_surrogate_but_2nd_missing": "lone_surrogate",
    "string_1st_valid_surrogate_2nd_invalid": "lone_surrogate",
    "string_UTF-16LE_with_BOM": "invalid_utf8",
    "string_UTF-8_invalid_sequence": "invalid_utf8",
    "string_UTF8_surrogate_U+D800": "invalid_utf8",
    "string_incomplete_surrogate_and_escape_valid": "lone_surrogate",
    "string_incomplete_surrogate_pair": "lone_surrogate",
    "string_incomplete_surrogates_escape_valid": "lone_surrogate",
    "string_invalid_lonely_surrogate": "lone_surrogate",
    "string_invalid_surrogate": "lone_surrogate",
    "string_invalid_utf-8": "invalid_utf8",
    "string_inverted_surrogates_U+1D11E": "lone_surrogate",
    "string_iso_latin_1": "invalid_utf8",
    "string_lone_second_surrogate": "lone_surrogate",
    "string_lone_utf8_continuation_byte": "invalid_utf8",
    "string_not_in_unicode_range": "invalid_utf8",
    "string_overlong_sequence_2_bytes": "invalid_utf8",
    "string_overlong_sequence_6_bytes": "invalid_utf8",
    "string_overlong_sequence_6_bytes_null": "invalid_utf8",
    "string_truncated-utf-8": "invalid_utf8",
    "string_utf16BE_no_BOM": "invalid_utf8",
    "string_utf16LE_no_BOM": "invalid_utf8",
    "structure_500_nested_arrays": "too_deep",
    "structure_UTF-8_BOM_empty_object": "byte_order_mark",
}
"""What becomes of documents that the standard leaves open, as a field of a record: numbers that
cannot be kept as they are, unpaired surrogates, other encodings and deep nesting are refused."""


def test_what_may_be_accepted() -> None:
    """Each document that the standard leaves open has a fixed verdict."""
    found = {p.stem.removeprefix("i_"): verdict(wrapped(p.read_bytes())) for p in suite("i")}
    assert found == OPEN


def test_all_of_the_suite_in_one_file(tmp_path: Path) -> None:
    """In a file with one document per line, each is judged by itself and has its own line."""
    lines = [d for kind in "yni" for p in suite(kind) if b"\n" not in (d := p.read_bytes().strip())]
    lines = [line for line in lines if not line.startswith(b"\xff\xfe")]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n" + b"\n".join(lines))
    blocks = list(BlockReader(find_sources([str(path)]), 1 << 30))
    assert [b"{}", *lines] == [line for block in blocks for line in block.lines()]
    assert len(lines) > 290


def utf8_cases() -> list[tuple[str, bool, bytes]]:
    """Return the cases of ``utf8tests``: number, whether it is valid, bytes."""
    data = (CORPORA / "flenniken_utf8tests" / "utf8tests.bin").read_bytes()
    cases = [line.split(b":", 2) for line in data.split(b"\n") if line]
    return [(number.decode(), kind == b"valid", text) for number, kind, text in cases]


def test_utf8tests() -> None:
    """Valid sequences are kept unchanged; the others are refused where they begin."""
    cases = utf8_cases()
    assert len(cases) > 210
    for number, valid, text in cases:
        escaped = b"".join(b"\\u%04x" % c if c < 32 or c in b'"\\' else bytes([c]) for c in text)
        line = b'{"a": "%b"}' % escaped
        if valid:
            assert (number, text) == (number, parse_line(line)["a"].encode())
            continue
        with pytest.raises(RecordError) as caught:
            parse_line(line)
        assert (number, "invalid_utf8") == (number, caught.value.reason)
        begin = line[: int(caught.value.problem.split("byte ")[1].split(":")[0]) - 1]
        assert len(begin.decode()) + 1 == caught.value.column


def test_kuhn() -> None:
    """In Markus Kuhn's stress test, exactly the lines that are not UTF-8 are refused."""
    path = CORPORA / "nlohmann_json_test_data" / "markus_kuhn" / "UTF-8-test.txt"
    refused = 0
    for text in path.read_bytes().split(b"\n"):
        escaped = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\0", b"\\u0000")
        line = b'{"a": "%b"}' % escaped
        try:
            text.decode()
        except UnicodeDecodeError:
            assert verdict(line) == "invalid_utf8"
            refused += 1
        else:
            assert parse_line(line)["a"].encode() == text
    assert refused == 68


def naughty_strings() -> list[str]:
    """Return the big list of naughty strings."""
    strings: list[str] = json.loads((CORPORA / "minimaxir_blns" / "blns.json").read_bytes())
    return strings


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("role", ["system", "user", "assistant", "input", "key"])
def test_naughty_strings(tmp_path: Path, role: str, escaped: bool) -> None:
    """Each string comes out of a whole run unchanged, in every field of a record."""
    strings = [s for s in naughty_strings() if s]  # an empty answer cannot be trained
    assert len(strings) == 514
    records = [
        {"system": "s", "instruction": "u", "input": "i", "output": "a"}
        | {{"user": "instruction", "assistant": "output", "key": f"x{s}"}.get(role, role): s}
        for s in strings
    ]
    source = tmp_path / "a.jsonl"
    write = [json.dumps(record, ensure_ascii=escaped) for record in records]
    source.write_bytes("\n".join(write).encode())
    template = tmp_path / "own.yaml"
    template.write_text(
        'system: "{content}\\u0001"\nuser: "{content}\\u0001"\n'
        'user_with_input: "{content}\\u0001{input}\\u0001"\n'
        'assistant: {header: "", body: "{content}{eos}", after: ""}\ndescription: all as it is\n'
    )
    prepare(recipe(source, tmp_path / "out", template=str(template), max_length=4000))
    assert load_manifest(tmp_path / "out").counts["written"] == len(strings)
    table = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
    decode = HfTokenizer.from_file(str(SAMPLE_TOKENIZER / "tokenizer.json")).decode
    texts = [decode(ids, skip_special_tokens=False) for ids in table["input_ids"].to_pylist()]
    expected = [
        "\x01".join((r["system"], r["instruction"], r["input"], r["output"])) for r in records
    ]
    end = load_manifest(tmp_path / "out").tokenizer["special_tokens"]["eos"]["token"]
    assert [text + end for text in expected] == texts


def test_naughty_chats(tmp_path: Path) -> None:
    """As messages, each string is written unchanged as prompt and as trained answer."""
    strings = [s for s in naughty_strings() if s]
    records = [
        {"messages": [{"role": "user", "content": s}, {"role": "assistant", "content": s}]}
        for s in strings
    ]
    source = write_jsonl(tmp_path / "a.jsonl", records)
    prepare(recipe(source, tmp_path / "out", template="chatml", max_length=4000))
    rows = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet").to_pylist()
    decode = HfTokenizer.from_file(str(SAMPLE_TOKENIZER / "tokenizer.json")).decode
    trained = [
        decode([i for i in row["labels"] if i >= 0], skip_special_tokens=False) for row in rows
    ]
    assert [f"{s}<|im_end|>" for s in strings] == trained
    whole = [decode(row["input_ids"], skip_special_tokens=False) for row in rows]
    assert whole == [
        f"<|im_start|>user\n{s}<|im_end|>\n<|im_start|>assistant\n{s}<|im_end|>\n" for s in strings
    ]


def test_emoji(tmp_path: Path) -> None:
    """Every emoji sequence comes out of a whole run unchanged."""
    path = CORPORA / "unicode_emoji_test" / "emoji-test.txt"
    codes = [line.split(";")[0].split() for line in path.read_text("utf-8").splitlines() if line]
    texts = ["".join(chr(int(c, 16)) for c in code) for code in codes if code and code[0] != "#"]
    assert len(texts) > 4000
    source = write_jsonl(
        tmp_path / "a.jsonl", [{"prompt": t, "completion": t + "x"} for t in texts]
    )
    prepare(recipe(source, tmp_path / "out"))
    rows = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet").to_pylist()
    decode = HfTokenizer.from_file(str(SAMPLE_TOKENIZER / "tokenizer.json")).decode
    assert [text * 2 + "x" for text in texts] == [decode(row["input_ids"]) for row in rows]
