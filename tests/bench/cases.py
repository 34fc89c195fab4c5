"""What is measured: the commands, environment and data of each case.

In     A ``Place`` with its data files, a tokenizer, and the Python that has the peers installed.
Out    Groups of ``Case``s; the cases of a group are run in turn, round after round.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import inputs
import orjson
from measure import Case, of_child, of_manifest, run

HERE = Path(__file__).parent
TEMPLATE = HERE / "qwen_like.jinja"
PROCESSES = 2
CHATML = ["--add-token", "<|im_start|>", "--add-token", "<|im_end|>"]
PEERS = ("trl", "torch", "datasets", "transformers", "tokenizers")
VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Group:
    """Cases that are run in turn, so that they can be compared."""

    cases: list[Case]
    times: int = 1  # in each round; short cases need more
    memory: bool = True  # whether peak memory is measured


@dataclass(frozen=True)
class Place:
    """The temporary folder with all files of a measurement."""

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of each data file

    def data(self, name: str) -> Path:
        """Return the path of a data file."""
        return self.folder / f"{name}.jsonl"

    def table(self, name: str) -> Path:
        """Return the path of the same data as Parquet."""
        return self.folder / f"{name}.parquet"

    def made(self, name: str) -> None:
        """Note the size of a data file that has been written."""
        self.sizes[name] = self.data(name).stat().st_size

    def env(self) -> dict[str, str]:
        """Return the environment of all commands: an sftprep cache of their own, no network."""
        return {"SFTPREP_CACHE": str(self.folder / "cache"), "HF_HUB_OFFLINE": "1"}


def make_data(
    place: Place, given: Path, *, megabytes: float, side: float, linear: bool, zh: Path | None
) -> None:
    """Write all data files of a measurement."""
    inputs.unpack(given, place.data("given"))
    place.made("given")
    pairs = inputs.read_pairs(place.data("given"))
    inputs.write(place.data("large"), pairs, megabytes=megabytes)
    inputs.as_parquet(place.data("large"), place.table("large"))
    inputs.write(place.data("hundred"), pairs, records=100)
    count = inputs.write(place.data("pairs"), pairs, megabytes=side)
    inputs.write(place.data("chats"), pairs, records=count, schema="messages")
    if linear:
        inputs.write(place.data("linear"), pairs, megabytes=10 * megabytes)
    others = {"code": inputs.library_functions()}
    if zh:
        others["zh"] = inputs.read_instructions(zh)
    small = min(side, place.sizes["given"] / 1e6)  # TRL is slow
    for name, other in others.items():
        inputs.write(place.data(name), other, megabytes=side)
        inputs.write(place.data(f"{name}-small"), other, megabytes=small)
    for path in place.folder.glob("*.jsonl"):
        place.made(path.stem)


def peers(python: str) -> dict[str, str]:
    """Return the versions of TRL and what it needs; empty if TRL is not installed."""
    found = subprocess.run([python, "-c", VERSIONS, *PEERS], capture_output=True, check=False)
    versions: dict[str, str] = orjson.loads(found.stdout) if found.returncode == 0 else {}
    return versions


class Cases:
    """The cases for one tokenizer.

    Args:
        place: the folder, with its data files.
        tokenizer: a folder with a ``tokenizer.json``.
        python: the interpreter that has TRL installed; None if there is none.
    """

    def __init__(self, place: Place, tokenizer: Path, python: str | None) -> None:
        from sftprep.tokenization.loading import load_tokenizer

        self._place = place
        self._tokenizer = tokenizer
        self._python = python
        self._stripped = place.folder / "stripped.json"
        self._stripped.write_text(load_tokenizer(str(tokenizer)).stripped_json())

    def warm_up(self) -> None:
        """Fill the tokenizer cache of sftprep."""
        for more in ([], CHATML):
            run(self._prepare("warm-up", "", "hundred", *more))

    def groups(self) -> list[Group]:
        """Return all cases that can be measured."""
        groups = [Group(self._main()), Group(self._chat()), Group(self._startup(), 5, memory=False)]
        if "linear" in self._place.sizes:
            title = "sftprep, 2 workers, 10 times as much"
            groups.append(Group([self._prepare("linear", title, "linear", kind="given")]))
        for name, title in (("code", "code"), ("zh", "Chinese")):
            if name in self._place.sizes:
                cases = self._trl(f"{name}-trl", f"{name}-small", name, f"TRL, {title}")
                cases.append(self._prepare(name, f"sftprep, {title}", name, kind=name))
                groups.append(Group(cases))
        return groups

    def _main(self) -> list[Case]:
        cold = self._place.folder / "cold"
        return [
            *self._trl("trl", "given", "given", "TRL SFTTrainer, 2 processes"),
            self._hf(),
            self._floor(),
            self._prepare("one", "sftprep, 1 worker", "large", workers=1, kind="given"),
            self._prepare("two", "sftprep, 2 workers", "large", kind="given"),
            self._prepare(
                "arrow", "sftprep, 2 workers, Arrow", "large", "--format", "arrow", kind="given"
            ),
            self._prepare(
                "table", "sftprep, 2 workers, from Parquet", "large", kind="given", is_table=True
            ),
            self._prepare("small", "sftprep, 2 workers, as given", "given", kind="given"),
            self._prepare(
                "cold", "the same, tokenizer cache empty", "given", kind="given", cold=cold
            ),
        ]

    def _chat(self) -> list[Case]:
        template = ["--template", str(TEMPLATE), *CHATML]
        plain = ["--template", "chatml", *CHATML]
        return [
            self._prepare("pairs", "prompt/completion, chatml", "pairs", *plain),
            self._prepare("chat", "the same as chats, Jinja template", "chats", *template),
        ]

    def _startup(self) -> list[Case]:
        def python(name: str, code: str) -> Case:
            command = [sys.executable, "-c", code]
            return Case(name=name, title=f"python -c '{code}'", commands=[command])

        return [
            python("typer", "import typer"),
            Case(name="help", title="sftprep --help", commands=[[*sftprep(), "--help"]]),
            python("imports", "import pyarrow, gigatoken, orjson"),
            self._prepare("hundred", "sftprep, 100 records", "hundred"),
        ]

    def _prepare(
        self, name: str, title: str, data: str, *options: str,
        workers: int = PROCESSES, kind: str = "", cold: Path | None = None, is_table: bool = False,
    ) -> Case:  # fmt: skip
        source = self._place.table(data) if is_table else self._place.data(data)
        parent = self._place.folder / "result"
        command = [*sftprep(), "prepare", str(source), "--json"]
        command += ["--output", str(parent / "out"), "--tokenizer", str(self._tokenizer)]
        return Case(
            name=name,
            title=title,
            kind=kind,
            commands=[[*command, "--workers", str(workers), *options]],
            env=self._place.env() | ({"SFTPREP_CACHE": str(cold)} if cold else {}),
            size=self._place.sizes[data],
            fresh=(parent, cold) if cold else (parent,),
            output=parent,
            report=of_manifest,
        )

    def _trl(self, name: str, data: str, kind: str, title: str) -> list[Case]:
        """Return the case of TRL, if TRL is installed."""
        if self._python is None:
            return []
        home, trainer = self._place.folder / "hf", self._place.folder / "trainer"
        command = [self._python, "-P", str(HERE / "peer_trl.py"), str(self._place.data(data))]
        command += [str(self._tokenizer), str(PROCESSES), str(trainer)]
        env = {"HF_HOME": str(home), "HF_DATASETS_CACHE": str(home / "datasets")}
        return [
            Case(
                name=name,
                title=title,
                kind=kind,
                commands=[command],
                env=self._place.env() | env,
                size=self._place.sizes[data],
                fresh=(home, trainer),
                report=of_child,
            )
        ]

    def _hf(self) -> Case:
        command = [sys.executable, "-P", str(HERE / "peer_hf.py"), str(self._place.data("given"))]
        threads = {"RAYON_NUM_THREADS": str(PROCESSES), "TOKENIZERS_PARALLELISM": "true"}
        return Case(
            name="hf",
            title="HF encode_batch_fast, 2 threads",
            kind="given",
            commands=[[*command, str(self._tokenizer / "tokenizer.json")]],
            env=self._place.env() | threads,
            size=self._place.sizes["given"],
            report=of_child,
        )

    def _floor(self) -> Case:
        output = self._place.folder / "floor"
        command = [sys.executable, "-P", str(HERE / "floor.py"), str(self._place.data("large"))]
        places = [str(self._stripped), str(output)]
        return Case(
            name="floor",
            title="floor: parse, encode, write",
            kind="given",
            commands=[
                [*command, str(share), str(PROCESSES), *places] for share in range(PROCESSES)
            ],
            env=self._place.env(),
            size=self._place.sizes["large"],
            fresh=(output,),
            output=output,
            report=of_child,
        )


def sftprep() -> list[str]:
    """Return the command as it is installed for a user."""
    script = Path(sys.executable).with_name("sftprep")
    return [str(script)] if script.exists() else [sys.executable, "-m", "sftprep"]
