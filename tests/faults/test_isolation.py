"""What a run never does: run code of a tokenizer folder, use the network, open a path from data.

And no message acts on the terminal that shows it.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import TOKENIZER, Case, assert_reported
from faults.processes import Run, reaped
from faults.tracing import needs_strace

pytestmark = pytest.mark.faults
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def run_command(case: Case, command: list[str]) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed."""
    with reaped(Run(command, case.folder)) as run:
        ran = run.ended()
    assert_reported(ran)
    return ran.code, ran.out + ran.err


def traced_command(case: Case, calls: str, *more: str) -> list[str]:
    """Run under ``strace`` from the start; return the lines of the trace."""
    trace = case.folder / "trace"
    argv = [sys.executable, "-m", "sftprep", *case.argv(*more)]
    code, text = run_command(
        case, ["strace", "-f", "-y", "-o", str(trace), "-e", f"trace={calls}", *argv]
    )
    assert code == 0, text
    return trace.read_text(errors="replace").splitlines()


@needs_strace
def test_no_code_from_a_tokenizer_folder(case: Case) -> None:
    """Neither the code that the configuration names nor any other file there is run."""
    folder = case.folder / "tokenizer"
    shutil.copytree(TOKENIZER, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["auto_map"] = {"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    evil = f"open({str(case.folder / 'was-run')!r}, 'w')\n"
    code = {"tokenization_evil.py", "__init__.py", "sitecustomize.py", "regex.py", "numpy.py"}
    for name in code:
        (folder / name).write_text(evil)
    other = {"pytorch_model.bin", "tokenizer.pkl", "model.pt", "vocab.pickle"}
    for name in other:
        (folder / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    lines = traced_command(case, "openat,open,execve", "--tokenizer", str(folder))
    count("faults")
    assert not (case.folder / "was-run").exists()
    opened = {Path(path).name for path in re.findall(rf'"{folder}/([^"]+)"', "\n".join(lines))}
    assert "tokenizer.json" in opened
    assert not opened & (code | other), opened


@needs_strace
def test_data_is_not_followed(case: Case) -> None:
    """Addresses and paths in records are just text."""
    secret = case.folder / "secret.txt"
    secret.write_text("secret")
    case.source = case.folder / "links.jsonl"
    places = [str(secret), f"file://{secret}", "http://127.0.0.1:9/x", "https://example.com/a.png"]
    with case.source.open("w") as file:
        for place in places:
            record = {
                "source": place,
                "link": {"url": place},
                "$ref": place,
                "prompt": f"![x]({place})\n",
                "completion": f"<img src='{place}'> {{% include '{place}' %}}",
            }
            file.write(json.dumps(record) + "\n")
    lines = traced_command(case, "%network,openat,open,stat,newfstatat,readlink")
    count("inputs", len(places))
    assert not [line for line in lines if "secret.txt" in line]
    assert not [line for line in lines if re.search(r"connect\(.*AF_INET|sendto\(.*AF_INET", line)]


def test_without_a_network(case: Case) -> None:
    """A run succeeds in a network namespace without any network."""
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("cannot make a network namespace here")
    case.workers = 2
    argv = [sys.executable, "-m", "sftprep", *case.argv()]
    code, text = run_command(case, ["unshare", "-n", *argv])
    assert code == 0, text
    count("runs")
    case.assert_complete()


EVIL = [
    "\x1b[2J\x1b]0;owned\x07",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe\u202c",
    "\u2066\u2069\u200f\u061c",
    "\x9b2J",
    "a\rb\x08\x08",
    "\x7f\x00",
]


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_messages_are_harmless(case: Case, evil: str) -> None:
    """A record cannot move the cursor, colour the screen or reverse text."""
    case.source = case.folder / "evil.jsonl"
    records: list[object] = [
        {"messages": [{"role": evil, "content": "x"}]},
        {"messages": [{"role": "user", "content": "x", evil: evil}, {"role": evil, "content": 1}]},
        {evil: "x"},
        {"prompt": {evil: evil}, "completion": "x"},
        [evil],
        evil,
        {"messages": evil},
        {"messages": [{"role": "tool", "content": evil, "name": evil}]},
    ]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    raw = evil.replace("\n", "")
    case.source.write_text("\n".join([*lines, raw, '{"prompt": "' + raw]) + "\n")
    for schema in ("messages", "prompt-completion", "sharegpt", "instruction"):
        ran = case.fork("--schema", schema)
        assert ran.code == 65, ran
        assert not UNSAFE.search(ran.out + ran.err), repr(ran.err)
    count("inputs", 4)


@pytest.mark.parametrize("evil", [e.replace("\0", "") for e in EVIL], ids=range(len(EVIL)))
def test_names_are_harmless(case: Case, evil: str) -> None:
    """Neither can the name of a file, field or template, or the value of an option."""
    folder = case.folder / evil
    folder.mkdir()
    source = folder / "in.jsonl"
    source.write_text('{"prompt": "a\\n", "completion": "b"}\nno json\n')
    missing = str(folder / "missing")
    plain = case.argv()
    tries = [
        [*plain[:1], str(source), *plain[2:]],
        [*plain[:1], missing, *plain[2:]],
        [*plain, "--output", str(source)],
        [*plain, "--tokenizer", missing],
        [*plain, "--template", missing],
        [*plain, "--template", missing + ".jinja"],
        [*plain, "--recipe", missing],
        [*plain, "--field", evil],
        [*plain, "--field", f"prompt={evil}"],
        [*plain, "--format", evil],
        [*plain, "--shard-size", evil],
        [*plain, "--allow-control", evil],
        [*plain, "--date", evil],
        ["inspect", missing],
        ["verify", missing],
        ["templates", evil],
    ]
    for argv in tries:
        ran = case.command(*argv)
        assert ran.code in {2, 65, 66, 73}, (argv, ran)
        assert_reported(ran)
        assert not UNSAFE.search(ran.out + ran.err), (argv, ran.err)
    count("inputs", len(tries))
    ran = case.fork("--output", str(folder / "out"))
    assert ran.code == 0, ran
    assert not UNSAFE.search(ran.out + ran.err), ran
