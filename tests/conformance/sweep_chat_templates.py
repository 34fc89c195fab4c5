"""Try chat templates with many conversations, and compare each row with the oracle.

    python -m sweep_chat_templates TEMPLATES_DIR [--tree DIR] [--details FILE] [--only TEXT] ...

Each ``*.jinja`` below the folder is tried with every conversation of ``chat_conversations``, on
GPT-2's tokenizer with the control tokens of the template. It prints a table of outcomes, and the
reasons of the refusals by their count. ``--details`` gets a JSON line for each pair.
``tokens.json`` in the folder may name models' ``bos_token`` and ``eos_token``.
"""

import argparse
import contextlib
import json
import os
import pickle
import re
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
BASE = HERE.parents[2] / "shared" / "tokenizers" / "gpt2"
SECONDS = 300  # of the processor, for one template with all conversations

EQUAL, WITHIN, IDS, MASK = "equal", "equal where determined", "ids differ", "mask differs"
REFUSED, BOTH, OTHER = "refused", "refused by both", "row though transformers refuses"
LOST = "refused: the template leaves an answer out"
UNKNOWN, CRASHED, ORDER = "undetermined", "crashed", "depends on other records"
RENDERED = (EQUAL, WITHIN, LOST, REFUSED, IDS, MASK)
OUTCOMES = (EQUAL, WITHIN, UNKNOWN, BOTH, LOST, OTHER, REFUSED, IDS, MASK, ORDER, CRASHED)


class Ours(NamedTuple):
    """What sftprep made of one record: a row, or the reason why there is none."""

    ids: list[int] | None = None
    trained: list[bool] | None = None
    reason: str = ""
    words: str = ""


class Pair(NamedTuple):
    """The outcome of one template with one conversation."""

    template: str
    conversation: str
    outcome: str
    reason: str = ""
    detail: dict[str, Any] = {}  # noqa: RUF012 - never changed
    boundary: str = ""


def settings_for(folder: Path, template: Path, data: Path, options: dict[str, Any]) -> Any:
    """Return the settings of a pipeline for a template with its tokenizer."""
    from sftprep.plan import plan
    from sftprep.recipe import Recipe

    chosen: dict[str, Any] = {"on_omission": "count", **options}
    if "strftime_now" in template.read_text(encoding="utf-8"):
        chosen["date"] = "2026-12-01"
    recipe = Recipe(
        inputs=(str(data),),
        schema="messages",
        tokenizer=str(folder),
        template=str(template),
        max_length=1_000_000,
        on_error="quarantine",
        **chosen,
    )
    return plan(recipe)


def rows_of(job: Any, records: Sequence[Any]) -> list[Ours]:
    """Return what the pipeline makes of records that stand in one block."""
    from sftprep.data.block import Block
    from sftprep.pipeline import Pipeline

    data = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    result = Pipeline(job.settings).process(Block(0, 0, 1, 0, data, None, "messages"))
    made = [Ours(reason="lost", words="neither a row nor a reason")] * len(records)
    batch = result.batch
    if batch is not None:
        for row, place in enumerate(batch.record.tolist()):
            tokens = slice(*batch.offsets[row : row + 2].tolist())
            made[place] = Ours(batch.input_ids[tokens].tolist(), batch.loss_mask[tokens].tolist())
    for lost in [*result.rejected, *result.dropped]:
        words = lost.error.problem if lost.error is not None else ""
        made[lost.line - 1] = Ours(reason=str(lost.reason), words=words)
    return made


def rows_or_crash(job: Any, records: Sequence[Any]) -> list[Ours]:
    """Return the rows; after a crash, each record is tried alone."""
    try:
        return rows_of(job, records)
    except TimeoutError:
        raise
    except Exception:
        made = []
        for record in records:
            try:
                made += rows_of(job, [record])
            except TimeoutError:
                raise
            except Exception as error:
                made.append(Ours(reason=CRASHED, words=f"{type(error).__name__}: {error}"))
        return made


def ask(oracle: Any, record: Any) -> tuple[str, Any]:
    """Return what the oracle says: the right rows, or why there are none."""
    from chat_oracle import RefusalError, UndeterminedError

    try:
        return "rows", oracle.rows(record)
    except RefusalError as refusal:
        return BOTH, str(refusal)[:300]
    except UndeterminedError as error:
        return UNKNOWN, str(error)[:300]


def answers(oracle: Any, records: dict[str, Any], file: Path | None) -> list[tuple[str, Any]]:
    """Return what the oracle says of all records; a file keeps it for the next sweep."""
    if file is None:
        return [ask(oracle, record) for record in records.values()]
    if not file.exists():
        made = pickle.dumps([ask(oracle, record) for record in records.values()])
        file.with_suffix(".new").write_bytes(made)
        file.with_suffix(".new").rename(file)
    return list(pickle.loads(file.read_bytes()))


def judge(tokenizer: Any, said: tuple[str, Any], ours: Ours) -> tuple[str, str, dict[str, Any]]:
    """Return outcome, reason and details of one pair."""
    if ours.reason == CRASHED:
        return CRASHED, ours.words, {}
    why = f"{ours.reason}: {ours.words}" if ours.ids is None else ""
    verdict, rows = said
    if verdict != "rows":
        outcome = OTHER if verdict == BOTH and ours.ids is not None else verdict
        return outcome, why or rows, {"oracle": rows, "ours": why}
    if ours.ids is None:
        if rows[0].leaves_out:
            return LOST, why, {}
        return (REFUSED if any(rows[0].may) else BOTH), why, {}
    wrong = [row.takes(ours.ids, ours.trained or []) for row in rows]
    if "" in wrong:
        row = rows[wrong.index("")]
        return (EQUAL, "", {}) if row.must == row.may else (WITHIN, "; ".join(row.why), {})
    best = rows[wrong.index("mask")] if "mask" in wrong else rows[0]
    decode = tokenizer.convert_ids_to_tokens
    detail = {
        "ours": marked(decode(ours.ids), ours.trained or [], ours.trained or []),
        "right": marked(decode(best.ids), best.must, best.may),
        "why": best.why,
    }
    return (MASK if "mask" in wrong else IDS), "", detail


def marked(tokens: Sequence[str], must: Sequence[bool], may: Sequence[bool]) -> str:
    """Return tokens as one text: what is trained in ⟦ ⟧, what may be in ⟨ ⟩."""
    text, before = "", ("", "")
    for token, is_sure, is_possible in zip(tokens, must, may, strict=True):
        now = ("⟦", "⟧") if is_sure else ("⟨", "⟩") if is_possible else ("", "")
        if now != before:
            text += before[1] + now[0]
        text, before = text + token, now
    return (text + before[1]).replace("Ġ", " ").replace("Ċ", "\n")


def try_template(
    path: Path,
    facts: dict[str, str],
    boundaries: Sequence[str],
    *,
    order: bool,
    kept: Path | None,
) -> list[Pair]:
    """Return the outcomes of one template with all conversations.

    Args:
        path: the template.
        facts: the model's ``bos_token`` and ``eos_token``, where they are known.
        boundaries: the values of the option of this name that are tried.
        order: also try the records in the reverse order.
        kept: a folder that keeps what the oracle says from sweep to sweep.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers
    from chat_conversations import conversations
    from chat_oracle import ChatOracle
    from chat_tokenizers import save_tokenizer

    transformers.logging.set_verbosity_error()
    records = conversations()
    source, name = path.read_text(encoding="utf-8"), path.stem

    def late(*_: Any) -> None:
        raise TimeoutError(f"{name}: more than {SECONDS} s")

    signal.signal(signal.SIGVTALRM, late)
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "tokenizer"
        tokenizer, stops = save_tokenizer(source, folder, BASE, facts)
        data = Path(temporary) / "in.jsonl"
        data.write_text("".join(json.dumps(record) + "\n" for record in records.values()))
        oracle = ChatOracle(tokenizer, source, stops, boundaries[0])
        for boundary in boundaries:
            oracle.boundary = boundary
            file = None if kept is None else kept / f"{name}-{boundary}.pickle"
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            made, again = our_rows(folder, path, data, boundary, records, order=order)
            try:
                if isinstance(made, Pair):
                    pairs.append(made)
                    continue
                said = answers(oracle, records, file)
                for kind, told, ours in zip(records, said, made, strict=True):
                    pairs.append(Pair(name, kind, *judge(tokenizer, told, ours), boundary))
                for kind, one, two in zip(records, made, again, strict=True):
                    if one != two:
                        why = "another row in the reverse order"
                        pairs.append(Pair(name, kind, ORDER, why, boundary=boundary))
            except TimeoutError as error:
                pairs.append(Pair(name, "*", CRASHED, str(error), boundary=boundary))
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return pairs


def our_rows(
    folder: Path, path: Path, data: Path, boundary: str, records: dict[str, Any], *, order: bool
) -> tuple[list[Ours] | Pair, list[Ours]]:
    """Return what sftprep makes of all records; with ``order``, also in the reverse order.

    A template that fails as a whole gives a ``Pair`` that says so.
    """
    given = list(records.values())
    try:
        job = settings_for(folder, path, data, {"boundary": boundary})
        made = rows_or_crash(job, given)
        return made, rows_or_crash(job, given[::-1])[::-1] if order else made
    except TimeoutError as error:
        return Pair(path.stem, "*", CRASHED, str(error), boundary=boundary), []
    except Exception as error:
        if type(error).__module__ != "sftprep.errors":
            words = f"{type(error).__name__}: {error}"
            return Pair(path.stem, "*", CRASHED, words, boundary=boundary), []
        made = [Ours(reason="template", words=str(error))] * len(given)
        return made, made


def general(reason: str) -> str:
    """Return a reason without the parts that differ from record to record."""
    reason = re.sub(r"chat template \S+", "chat template", reason)
    reason = re.sub(r"\[\d+\]|\b\d+\b", "N", reason.split("\n", maxsplit=1)[0])
    return re.sub(r"'[^']{12,}'", "'…'", reason)[:150]


def table(pairs: Sequence[Pair]) -> Iterator[str]:
    """Return the lines of the report."""
    templates = len({pair.template for pair in pairs})
    yield f"{len(pairs)} pairs of {templates} templates and conversations"
    rendered = [pair for pair in pairs if pair.outcome in RENDERED]
    refused = sum(pair.outcome in (REFUSED, LOST) for pair in rendered)
    yield f"of {len(rendered)} pairs with a right row, {refused} are refused"
    counts = Counter(pair.outcome for pair in pairs)
    for outcome in OUTCOMES:
        with_it = {pair.template for pair in pairs if pair.outcome == outcome}
        share = counts[outcome] / max(1, len(pairs))
        yield f"{counts[outcome]:7} {share:6.1%} {len(with_it):5} templates  {outcome}"
    for outcome in (REFUSED, LOST, OTHER, UNKNOWN, WITHIN, CRASHED):
        yield f"\n{outcome}, by reason (pairs, templates)"
        reasons: dict[str, list[Pair]] = {}
        for pair in pairs:
            if pair.outcome == outcome:
                reasons.setdefault(general(pair.reason), []).append(pair)
        for reason, found in sorted(reasons.items(), key=lambda item: -len(item[1]))[:40]:
            names = sorted({pair.template for pair in found})
            kinds = Counter(pair.conversation for pair in found)
            where = ", ".join(kind for kind, _ in kinds.most_common(3))
            yield f"{len(found):6} {len(names):4}  {reason}  [{where}; {', '.join(names[:3])}]"
    for outcome in (REFUSED, IDS, MASK, ORDER):
        yield f"\n{outcome}, by conversation and by template (pairs)"
        for part in ("conversation", "template"):
            counted = Counter(getattr(pair, part) for pair in pairs if pair.outcome == outcome)
            yield "  " + ", ".join(f"{name} {count}" for name, count in counted.most_common(90))


def sweep(folder: Path, boundaries: Sequence[str], **how: Any) -> list[Pair]:
    """Return the outcomes of all templates of a folder."""
    paths = sorted(path for path in folder.glob("*.jinja") if how.get("only", "") in path.name)
    paths = paths[:: how.get("every", 1)]
    facts: dict[str, dict[str, str]] = {}
    with contextlib.suppress(FileNotFoundError):
        facts = json.loads((folder / "tokens.json").read_text())
    pairs: list[Pair] = []
    with ProcessPoolExecutor(how.get("workers", 2)) as pool:
        jobs = {
            pool.submit(
                try_template,
                path,
                facts.get(path.stem, {}),
                boundaries,
                order=how.get("order", False),
                kept=how.get("kept"),
            ): path
            for path in paths
        }
        for job in as_completed(jobs):
            try:
                made = job.result()
            except Exception as error:
                made = [Pair(jobs[job].stem, "*", CRASHED, f"oracle: {error!r}")]
            pairs += made
            if how.get("details") is not None:  # at once: a long sweep may be stopped
                with how["details"].open("a") as file:
                    for pair in made:
                        file.write(json.dumps(pair._asdict(), ensure_ascii=False) + "\n")
    return sorted(pairs)


def main() -> None:
    """Run the sweep from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tree", type=Path, help="the folder whose sftprep is tried")
    parser.add_argument("--details", type=Path, help="gets a JSON line for each pair")
    parser.add_argument("--only", default="", help="only templates with this in their names")
    parser.add_argument("--boundary", default="joint", choices=("joint", "split", "both"))
    parser.add_argument("--order", action="store_true", help="try the reverse order too")
    parser.add_argument("--every", type=int, default=1, help="only each N-th template")
    parser.add_argument("--keep", type=Path, help="a folder that keeps the oracle's answers")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    if given.tree is not None:
        sys.path.insert(0, str(given.tree))
        os.environ["PYTHONPATH"] = f"{given.tree}:{os.environ.get('PYTHONPATH', '')}"
    if given.details is not None:
        given.details.unlink(missing_ok=True)
    pairs = sweep(
        given.folder,
        ("joint", "split") if given.boundary == "both" else (given.boundary,),
        only=given.only,
        details=given.details,
        order=given.order,
        every=given.every,
        kept=given.keep,
        workers=given.workers,
    )
    print("\n".join(table(pairs)))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
