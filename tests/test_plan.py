"""plan: a recipe is resolved, or refused before anything is written."""

import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, byte_hf, recipe, save_folder

from sftprep import Recipe, TemplateError, UsageError, prepare
from sftprep.plan import plan

SOURCE = str(SAMPLE_DATA / "prompt_completion.jsonl")


def planned(**options: Any) -> Any:
    """The plan for the sample data and tokenizer."""
    return plan(Recipe(**{"inputs": (SOURCE,), "tokenizer": str(SAMPLE_TOKENIZER), **options}))


def test_defaults_follow_from_the_tokenizer(tmp_path: Path) -> None:
    """The longest row is 2,048 tokens, or the tokenizer's limit if that is less."""
    assert planned().settings.max_length == 2048
    folder = save_folder(byte_hf(["</s>"]), tmp_path / "t", eos_token="</s>", model_max_length=50)
    assert planned(tokenizer=str(folder)).settings.max_length == 50
    assert planned(tokenizer=str(folder), max_length=60).settings.max_length == 60


def test_the_separator(tmp_path: Path) -> None:
    """The separator is the one given, else the sep token that ``--add-token`` names, else none."""
    assert planned().settings.separator == ""
    assert planned(add_token=("sep=<|sep|>",)).settings.separator == "<|sep|>"
    assert planned(add_token=("sep=<|sep|>",), separator="\n").settings.separator == "\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ()}, "no input. Name files, globs or folders, or - for standard input."),
        ({"tokenizer": None}, "no tokenizer. Pass --tokenizer with a folder, a tokenizer.json"),
        ({"allow_control": ("<x>",)}, "--allow-control '<x>': tokenizer 'tokenizer' has no such"),
        (
            {"template": "chatml", "separator": "x"},
            "--separator cannot be used: template 'chatml' does not contain {separator}",
        ),
        (
            {"template": "chatml", "template_arg": ("a=1",)},
            "--template-arg 'a=1' cannot be used: template 'chatml' takes no arguments; only Jinja "
            "chat templates do. Remove the option, or choose another --template.",
        ),
        (
            {"template": "chatml", "date": "2024-01-01"},
            "--date cannot be used: template 'chatml' does not write the date; only Jinja chat "
            "templates can. Remove the option, or choose another --template.",
        ),
        (
            {"template": "chatml", "train_on": "user,tool"},
            "--train-on user,tool cannot be used: template 'chatml' takes no tool messages; only "
            "Jinja chat templates do. Remove tool, or choose another --template.",
        ),
        (
            {"template": "chatml", "train_tool_calls": "no"},
            "--train-tool-calls no cannot be used: template 'chatml' takes no tool calls; only "
            "Jinja chat templates do. Remove the option, or choose another --template.",
        ),
        (
            {"template": "plain", "system": "s"},
            "--system cannot be used: template 'plain' has no place for a system prompt. Remove "
            "the "
            "option, or choose another --template.",
        ),
        (
            {"end_of_turn": "<x>"},
            "--end-of-turn '<x>': tokenizer 'tokenizer' has no such control token. Check its "
            "spelling, or add it with --add-token '<x>'.",
        ),
        (
            {"template": "chatml", "end_of_turn": "<|endoftext|>"},
            "--end-of-turn '<|endoftext|>' cannot be used: template 'chatml' ends each answer with "
            "'<|im_end|>'. Remove the option, or choose another --template.",
        ),
        ({"template": "tokenizer:other"}, "tokenizer 'tokenizer' has no chat template 'other'"),
        ({"template": "llama3"}, "template 'llama3' needs '<|start_header_id|>', "),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    """A recipe that cannot work is refused before a record is read."""
    with pytest.raises(UsageError) as caught:
        planned(**options)
    assert str(caught.value).startswith(message)


BODY = "user: 'Q{content}'\nassistant: {body: '{content}'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BODY}, after: '<|im_end|>x'}}", "writes this token in 'after', where"),
        (f"{BODY}}}\nend: ' <|im_end|>'", "writes this token in 'end', where"),
        (f"{BODY}, after: '<|im_end|>'}}".replace("'{content}'", "'{content}<|im_end|>'"), ""),
        (f"{BODY}}}", ""),
    ],
)
def test_an_end_of_turn_that_is_not_trained(tmp_path: Path, text: str, message: str) -> None:
    """A template that writes the token behind the trained text must not write it twice."""
    (tmp_path / "own.yaml").write_text(text)
    options = {"template": str(tmp_path / "own.yaml"), "end_of_turn": "<|im_end|>"}
    if not message:
        assert planned(**options).settings.stops == ("<|im_end|>", "<|endoftext|>")
        return
    with pytest.raises(UsageError) as caught:
        planned(**options)
    assert str(caught.value) == (
        f"--end-of-turn '<|im_end|>' cannot be used: template 'own' {message} it is not trained. "
        "Remove the option, and move the token to the end of the template's 'body'."
    )


def test_an_end_of_turn_that_is_added() -> None:
    """A token that ``--add-token`` adds may end the answers."""
    settings = planned(end_of_turn="<x>", add_token=("<x>",), template="tokenizer").settings
    assert (settings.end_of_turn, settings.stops) == ("<x>", ("<x>", "<|endoftext|>"))


TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}"
READS = TURNS + "{% if enable_thinking is defined and enable_thinking %}think{% endif %}"
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('No system here') }}{% endif %}"
)
LEAVES_OUT = (
    "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}"
)
WITH_TOOLS = "{% if tools %}" + TURNS + "{% else %}" + LEAVES_OUT + "{% endif %}"
DATED = "{% set day = strftime_now('%d') if strftime_now is defined else '1' %}{{ day }}" + TURNS
DATE_STRING = "{% if not date_string is defined %}{% set date_string = '1' %}{% endif %}" + TURNS
DATE_STRING += "{{ date_string }}"
SYSTEM = {"system": "s"}
A_DATE = {"date": "2024-01-01"}
WITHOUT = "Remove the option, or choose another --template."


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (
            READS,
            {"template_arg": ("enable_thinkin=true",)},
            "--template-arg 'enable_thinkin=true' cannot be used: {} never reads enable_thinkin. "
            "Did you mean "
            "'enable_thinking'?",
        ),
        (
            READS,
            {"template_arg": ("language=no",)},
            "--template-arg 'language=no' cannot be used: {} never reads language. It reads "
            "enable_thinking.",
        ),
        (
            TURNS,
            {"template_arg": ("language=no",)},
            "--template-arg 'language=no' cannot be used: {} never reads language. It takes no "
            "arguments.",
        ),
        (
            "{% set x = 1 %}{{ x }}" + TURNS,
            {"template_arg": ("x=2",)},
            "--template-arg 'x=2' cannot be used: {} never reads x. It takes no arguments.",
        ),
        (
            TURNS,
            {"template_arg": ("add_generation_prompt=true",)},
            "--template-arg 'add_generation_prompt=true' cannot be used: sftprep sets "
            "add_generation_prompt for each record. Remove the option.",
        ),
        (
            TURNS,
            {"separator": "x"},
            "--separator cannot be used: {} is a chat template, which writes its own separators. "
            "Remove the option, or use --template plain.",
        ),
        (TURNS, A_DATE, "--date cannot be used: {} does not ask for the date. Remove it."),
        (
            DATE_STRING,
            A_DATE,
            "--date cannot be used: {} does not ask for the date. It reads date_string: pass "
            "--template-arg date_string=TEXT.",
        ),
        (
            NO_SYSTEM + TURNS,
            SYSTEM,
            "--system cannot be used: {} refuses a system prompt: No system here. " + WITHOUT,
        ),
        (
            LEAVES_OUT,
            SYSTEM,
            "--system cannot be used: {} does not write a system prompt. " + WITHOUT,
        ),
        (READS, {"template_arg": ("enable_thinking=false",)}, ""),
        (DATE_STRING, {"template_arg": ("date_string=1 May",)}, ""),
        ("{% set x = x or 'd' %}{{ x }}" + TURNS, {"template_arg": ("x=2",)}, ""),
        ("{{ bos_token }}" + TURNS, {"template_arg": ("bos_token=<b>",)}, ""),
        (DATED, A_DATE, ""),
        (TURNS, SYSTEM, ""),
        (WITH_TOOLS, SYSTEM, ""),
        ("{{ messages[0].nothing.at.all }}", SYSTEM, ""),  # it fails without a system prompt too
        (TURNS, {"separator": ""}, ""),
    ],
)
def test_options_that_a_chat_template_ignores(
    tmp_path: Path, source: str, options: dict[str, Any], message: str
) -> None:
    """An option that a chat template has no use for is refused before anything is read."""
    path = tmp_path / "own.jinja"
    path.write_text(source)
    if not message:
        planned(template=str(path), **options)
        return
    with pytest.raises(UsageError) as caught:
        planned(template=str(path), **options)
    assert str(caught.value) == message.format("template 'own.jinja'")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            marks=pytest.mark.faults,  # takes 2 seconds
        ),
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}"
        "{% endfor %}",
    ],
    ids=["endless", "bomb"],
)
def test_a_hostile_template_does_no_harm_before_the_run(tmp_path: Path, body: str) -> None:
    """What is tried with ``--system`` has limits on time and memory; the run then refuses it."""
    path = tmp_path / "own.jinja"
    path.write_text(body + TURNS)
    before = resource.getrlimit(resource.RLIMIT_AS)
    planned(template=str(path), system="s")
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20  # in KiB


def test_missing_tokens_are_named_with_their_flags() -> None:
    """The error lists the flags that add what a template needs and the tokenizer lacks."""
    with pytest.raises(TemplateError, match=r"Pass --add-token '<\|start_header_id\|>' "):
        planned(template="llama3")


def test_the_identity_holds_resolved_options() -> None:
    """Sizes are in bytes, the template has its name, and no path or machine is part of it."""
    found = planned(shard_size="1MB").identity(["a", "b"])
    assert found["inputs"] == ["a", "b"]
    assert (found["recipe"]["shard_size"], found["recipe"]["max_length"]) == (10**6, 2048)
    assert {"workers", "output", "inputs", "tokenizer", "backend"} & set(found["recipe"]) == set()
    assert set(found["libraries"]) >= {"sftprep", "tokenizers", "transformers"}


def test_fingerprint_follows_what_decides_the_bytes(tmp_path: Path) -> None:
    """Options that change the shards change the fingerprint; workers and backend do not."""
    base: dict[str, Any] = {"shard_size": "1MB"}
    variants: list[dict[str, Any]] = [
        {}, {"workers": 2}, {"backend": "hf"},
        {"max_length": 77}, {"template": "qa"}, {"train_on": "all"}, {"boundary": "joint"},
        {"ignore_index": -1}, {"format": "arrow"}, {"shard_size": "2MB"}, {"add_token": ["<x>"]},
        {"truncation": "keep-end"}, {"separator": "\n"},
    ]  # fmt: skip
    prints = [
        prepare(
            recipe(SAMPLE_DATA / "prompt_completion.jsonl", tmp_path / str(n), **base | v)
        ).manifest.fingerprint
        for n, v in enumerate(variants)
    ]
    assert prints[0] == prints[1] == prints[2]
    assert len(variants) - 2 == len(set(prints))


# --- tokens that the template needs ---------------------------------------------------------------

LACKS = "which tokenizer 'tokenizer' does not have."


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (
            "{% for m in messages %}<|a|>{{ m.content }}<|b|>{% endfor %}",
            {},
            f"template 'own.jinja' needs '<|a|>', '<|b|>', {LACKS} Pass --add-token '<|a|>' "
            "--add-token '<|b|>', --plain-text '<|a|>' if one is meant as plain text, or choose "
            "another --template.",
        ),
        (
            "{% for m in messages %}<|a|>{{ m.content }}<|b|>{% endfor %}",
            {"add_token": ("<|a|>",)},
            f"template 'own.jinja' needs '<|b|>', {LACKS} Pass --add-token '<|b|>', --plain-text "
            "'<|b|>' if it is meant as plain text, or choose another --template.",
        ),
        ("<|a|><|b|>", {"add_token": ("<|a|>",), "plain_text": ("<|b|>",)}, ""),
        (
            "{{ bos_token + 'x' }}",
            {},
            f"template 'own.jinja' needs a BOS token, {LACKS} Pass --add-token 'bos=TOKEN', or "
            "choose another --template.",
        ),
        ("{{ bos_token + 'x' }}", {"add_token": ("bos=<s>",)}, ""),
        ("{{ bos_token + 'x' }}", {"template_arg": ("bos_token=y",)}, ""),
    ],
)
def test_a_chat_template_without_its_tokens(
    tmp_path: Path, source: str, options: dict[str, Any], message: str
) -> None:
    """A chat template in a file is refused like a YAML template if its tokens are missing."""
    (tmp_path / "own.jinja").write_text(source)
    options = {"template": str(tmp_path / "own.jinja"), **options}
    if not message:
        assert planned(**options)
        return
    with pytest.raises(TemplateError) as caught:
        planned(**options)
    assert str(caught.value) == message


def test_a_yaml_template_without_its_tokens(tmp_path: Path) -> None:
    """A user's YAML template is checked too, and the flag says that a text is meant as text."""
    path = tmp_path / "zephyr.yaml"
    path.write_text("user: '<|a|>{content}'\nassistant: {body: '{content}<|im_end|>{{<s>}}'}\n")
    with pytest.raises(TemplateError) as caught:
        planned(template=str(path))
    assert str(caught.value) == (
        f"template 'zephyr' needs '<|a|>', '<s>', {LACKS} Pass --add-token '<|a|>' --add-token "
        "'<s>', --plain-text '<|a|>' if one is meant as plain text, or choose another --template."
    )
    settings = planned(template=str(path), plain_text=("<s>", "<|a|>")).settings
    assert settings.plain_text == ("<s>", "<|a|>")


def test_the_tokenizers_own_template_is_not_refused(tmp_path: Path) -> None:
    """What its maker wrote is meant as it is; the same text in a file is a refusal."""
    folder = tmp_path / "t"
    shutil.copytree(SAMPLE_TOKENIZER, folder)
    (folder / "chat_template.jinja").write_text("<|a|>")
    assert planned(tokenizer=str(folder), template="tokenizer").settings.plain_text == ()
    with pytest.raises(TemplateError, match=r"template 'chat_template\.jinja' needs"):
        planned(tokenizer=str(folder), template=str(folder / "chat_template.jinja"))


def test_builtin_templates_are_as_they_should_be() -> None:
    """Zephyr's markers are plain text, so nobody has to say it."""
    settings = planned(template="zephyr").settings
    assert settings.plain_text == ("<|assistant|>", "<|system|>", "<|user|>")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"separator": "<|sep|>"},
            f"--separator needs '<|sep|>', {LACKS} Pass --add-token '<|sep|>', or --plain-text "
            "'<|sep|>' if it is meant as plain text.",
        ),
        ({"separator": "<|sep|>", "plain_text": ("<|sep|>",)}, ""),
        ({"separator": "<|sep|>", "add_token": ("<|sep|>",)}, ""),
        (
            {"plain_text": ("<|im_end|>",)},
            "--plain-text '<|im_end|>' cannot be used: the text is a token of the tokenizer. "
            "Remove the option.",
        ),
        (
            {"plain_text": ("x",)},
            "--plain-text 'x' cannot be used: the text looks like no control token. Remove the "
            "option.",
        ),
        (
            {"plain_text": ("<|x|>",)},
            "--plain-text '<|x|>' cannot be used: template 'plain' does not write this text. "
            "Remove the option.",
        ),
    ],
)
def test_separators_and_plain_text(options: dict[str, Any], message: str) -> None:
    """A separator that looks like a token must be one, or be meant as text."""
    if not message:
        assert planned(**options)
        return
    with pytest.raises(UsageError) as caught:
        planned(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("given", "separator", "stored"),
    [
        (r"\n", "\n", "\n"),
        (r"a\tb\\n", "a\tb\\n", "a\tb\\\\n"),
        ("\n\t", "\n\t", "\n\t"),
    ],
)
def test_escapes_in_the_separator(given: str, separator: str, stored: str) -> None:
    """Escapes are replaced once: the stored recipe gives the same separator again."""
    job = planned(separator=given)
    assert job.settings.separator == separator
    assert job.identity(["a"])["recipe"]["separator"] == stored
    assert planned(separator=stored).settings.separator == separator
