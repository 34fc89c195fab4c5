"""render: conversations and templates become pieces of text, each trained or not."""

from typing import Any

import pytest

from sftprep.data.conversation import Conversation, Message
from sftprep.data.pieces import IMPLICIT_BOS, Piece, Section, filled
from sftprep.errors import RecordError
from sftprep.templates.loading import load_template, parse_template
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import Template

U, A, S = "user", "assistant", "system"


def talk(*messages: tuple[Any, ...]) -> Conversation:
    """A conversation of messages given as tuples."""
    return Conversation.of(*(Message(*message) for message in messages))


def own(**keys: Any) -> Template:
    """A small template with some keys of its own."""
    least = {
        "user": "U{content};",
        "assistant": {"header": "A", "body": "{content}.", "after": "|"},
    }
    return parse_template(least | keys, name="own", where="own.yaml")


def pieces_of(
    template: Template, conversation: Conversation, **options: Any
) -> tuple[tuple[Piece, ...], tuple[str, ...]]:
    """The pieces and contents of one conversation."""
    renderer = TemplateRenderer(template, **{"bos": "<s>", "eos": "</s>"} | options)
    rendered = renderer.render(conversation)
    return renderer.pieces(rendered.shape), rendered.contents


def text_of(template: Template, conversation: Conversation, **options: Any) -> str:
    """The text of one conversation."""
    return filled(*pieces_of(template, conversation, **options))


def marked(template: Template, conversation: Conversation, **options: Any) -> str:
    """The text of one conversation, its trained stretches in ⟦ ⟧."""
    pieces, contents = pieces_of(template, conversation, **options)
    text = "".join(
        f"⟦{part}⟧" if piece.trained else part
        for piece in pieces
        for part in [contents[piece.slot] if piece.slot >= 0 else piece.text]
    )
    return text.replace("⟧⟦", "")


TWO = talk((U, "a"), (A, "b"), (U, "c"), (A, "d"))
WITH_SYSTEM = talk((S, "s"), *TWO.messages)

BUILTIN: list[tuple[str, Conversation, str]] = [
    ("plain", talk((U, "a "), (A, "b")), "a ⟦b</s>⟧"),
    ("plain", TWO, "a⟦b</s>⟧c⟦d</s>⟧"),
    ("qa", WITH_SYSTEM, "s\n\nQuestion: a\nAnswer:⟦ b</s>⟧Question: c\nAnswer:⟦ d</s>⟧"),
    (
        "alpaca",
        talk((U, "a", "x"), (A, "b")),
        "Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request.\n\n### Instruction:\n"
        "a\n\n### Input:\nx\n\n### Response:\n⟦b</s>⟧",
    ),
    (
        "alpaca",
        talk((U, "a"), (A, "b")),
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\na\n\n### Response:\n⟦b</s>⟧",
    ),
    (
        "alpaca",
        talk((S, "s"), (U, "a"), (A, "b"), (U, "c", "x"), (A, "d")),
        "s\n\n### Instruction:\na\n\n### Response:\n⟦b</s>⟧\n\n### Instruction:\nc\n\n### Input:\nx"
        "\n\n### Response:\n⟦d</s>⟧",
    ),
    (
        "alpaca_zh",
        talk((S, "s"), (U, "a", "x"), (A, "b")),
        "s\n\n### 指令：\na\n\n### 输入：\nx\n\n### 回答：\n⟦b</s>⟧",
    ),
    (
        "roles",
        WITH_SYSTEM,
        "<|SYSTEM|>s<|USER|>a<|ASSISTANT|>⟦b</s>⟧<|USER|>c<|ASSISTANT|>⟦d</s>⟧",
    ),
    (
        "chatml",
        WITH_SYSTEM,
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
        "⟦b<|im_end|>⟧\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦d<|im_end|>⟧\n",
    ),
    (
        "llama3",
        talk((S, " s "), (U, " a "), (A, " b ")),
        "<s><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|><|start_header_id|>user"
        "<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        "⟦b<|eot_id|>⟧",
    ),
    (
        "mistral",
        WITH_SYSTEM,
        "<s>[INST] a[/INST]⟦ b</s>⟧[INST] s\n\nc[/INST]⟦ d</s>⟧",
    ),
    (
        "gemma",
        talk((S, " s "), *TWO.messages),
        "<s><start_of_turn>user\n s \n\na<end_of_turn>\n<start_of_turn>model\n⟦b<end_of_turn>⟧\n"
        "<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n⟦d<end_of_turn>⟧\n",
    ),
    (
        "phi3",
        TWO,
        "<|user|>\na<|end|>\n<|assistant|>\n⟦b<|end|>⟧\n<|user|>\nc<|end|>\n<|assistant|>\n"
        "⟦d<|end|>⟧\n</s>",
    ),
    (
        "zephyr",
        WITH_SYSTEM,
        "<|system|>\ns</s>\n<|user|>\na</s>\n<|assistant|>\n⟦b</s>⟧\n<|user|>\nc</s>\n<|assistant|>"
        "\n⟦d</s>⟧\n",
    ),
    (
        "vicuna",
        TWO,
        "A chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions. USER: a ASSISTANT:"
        "⟦ b</s>⟧USER: c ASSISTANT:⟦ d</s>⟧",
    ),
    (
        "deepseek",
        WITH_SYSTEM,
        "<s>s<｜User｜>a<｜Assistant｜>⟦b<｜end▁of▁sentence｜>⟧<｜User｜>c<｜Assistant｜>"
        "⟦d<｜end▁of▁sentence｜>⟧",
    ),
]


@pytest.mark.parametrize(("name", "conversation", "expected"), BUILTIN)
def test_builtin(name: str, conversation: Conversation, expected: str) -> None:
    """A built-in template writes just this, and trains each answer with its terminator."""
    assert expected == marked(load_template(name), conversation)


@pytest.mark.parametrize(
    ("train_on", "expected"),
    [
        ("completion", "Ua;A⟦b.⟧|Uc;A⟦d.⟧|"),
        ("last", "Ua;Ab.|Uc;A⟦d.⟧|"),
        ("all", "⟦Ua;Ab.|Uc;Ad.|⟧"),
    ],
)
def test_train_on(train_on: str, expected: str) -> None:
    """All answers, the last one, or all text is trained."""
    assert expected == marked(own(), TWO, train_on=train_on)


@pytest.mark.parametrize(
    ("train_on", "first", "second", "expected"),
    [
        ("completion", False, None, "Ua;Ab.|Uc;A⟦d.⟧|"),
        ("completion", None, False, "Ua;A⟦b.⟧|Uc;Ad.|"),
        ("completion", False, False, "Ua;Ab.|Uc;Ad.|"),
        ("completion", True, True, "Ua;A⟦b.⟧|Uc;A⟦d.⟧|"),
        ("last", None, False, "Ua;Ab.|Uc;Ad.|"),
        ("last", True, None, "Ua;Ab.|Uc;A⟦d.⟧|"),
    ],
)
def test_train_of_a_message(
    train_on: str, first: bool | None, second: bool | None, expected: str
) -> None:
    """A message's own word can take its loss away, and never adds what the run does not train."""
    conversation = talk((U, "a"), (A, "b", "", first), (U, "c"), (A, "d", "", second))
    assert expected == marked(own(), conversation, train_on=train_on)


def test_a_user_turn_is_not_trained() -> None:
    """``train`` on a user's message does not train it: it is no answer."""
    conversation = talk((U, "a", "", True), (A, "b"))
    assert marked(own(), conversation) == "Ua;A⟦b.⟧|"


# --- BOS, separator, input, system --------------------------------------------------------------


@pytest.mark.parametrize(
    ("bos", "implicit", "expected"),
    [
        ("auto", False, None),
        ("auto", True, IMPLICIT_BOS),
        ("always", False, -1),
        ("always", True, -1),
        ("never", True, None),
    ],
)
def test_bos(bos: str, implicit: bool, expected: int | None) -> None:
    """A BOS stands first as the template says; ``auto`` is where the tokenizer adds one."""
    pieces, _ = pieces_of(own(bos=bos), TWO, implicit_bos=implicit)
    found = [(piece.slot, piece.section) for piece in pieces if piece.text == "<s>"]
    assert ([] if expected is None else [(expected, Section.KEPT)]) == found
    assert expected is None or pieces[0].text == "<s>"


def test_separator() -> None:
    """The separator stands between prompt and completion, and is not trained."""
    assert (
        marked(load_template("plain"), talk((U, "a"), (A, "b")), separator="\n\n") == "a\n\n⟦b</s>⟧"
    )


def test_input_without_a_place() -> None:
    """Where a template has no place for an input it follows the content on a new line."""
    assert text_of(own(), talk((U, "a", "x"), (A, "b"))) == "Ua\nx;Ab.|"


def test_system_without_a_place() -> None:
    """A system prompt that a template has no place for is the record's fault, not dropped."""
    with pytest.raises(RecordError) as caught:
        text_of(load_template("plain"), WITH_SYSTEM)
    expected = (
        "no_place_for_system",
        "the record has a system prompt, and template 'plain' has no place for one",
        "Choose another template",
    )
    assert expected == (caught.value.reason, caught.value.problem, caught.value.cure)


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        (talk((U, "a"), (A, "b")), "[D]Ua;Ab.|"),
        (talk((U, "a", "x"), (A, "b")), "[I]Ua+x;Ab.|"),
        (talk((U, "a"), (A, "b"), (U, "c", "x"), (A, "d")), "[D]Ua;Ab.|Uc+x;Ad.|"),
        (talk((S, "s"), (U, "a", "x"), (A, "b")), "[s]Ua+x;Ab.|"),
    ],
)
def test_default_system(conversation: Conversation, expected: str) -> None:
    """A template's own system prompt stands where a record has none, by its first user turn."""
    template = own(
        system="[{content}]",
        default_system="D",
        default_system_with_input="I",
        user_with_input="U{content}+{input};",
    )
    assert expected == text_of(template, conversation)


@pytest.mark.parametrize(
    ("place", "expected"), [("first-user", "U<s>a;Ab.|Uc;Ad.|"), ("last-user", "Ua;Ab.|U<s>c;Ad.|")]
)
def test_system_in_a_user_turn(place: str, expected: str) -> None:
    """A system prompt can have its place in the first or the last user turn."""
    template = own(user_with_system="U<{system}>{content};", system_in=place)
    assert expected == text_of(template, WITH_SYSTEM)


def test_content_is_no_template() -> None:
    """Braces and placeholders in a record's text are its text."""
    conversation = talk((U, "{content}{{x}}{eos}"), (A, "}{bos}"))
    assert text_of(own(), conversation) == "U{content}{{x}}{eos};A}{bos}.|"


# --- trimming -----------------------------------------------------------------------------------


def test_trim() -> None:
    """Only the roles that a template trims lose their outer white space."""
    conversation = talk((S, " s "), (U, "\n a\n"), (A, " b "))
    template = own(system="[{content}]", trim=["user"])
    assert text_of(template, conversation) == "[ s ]Ua;A b .|"


def test_trimmed_to_nothing() -> None:
    """An answer of white space is an empty one where the template trims it."""
    with pytest.raises(RecordError) as caught:
        text_of(own(trim=["assistant"]), talk((U, "a"), (A, " \n")))
    expected = (
        "empty_completion",
        "an answer is white space only, which template 'own' trims",
    )
    assert expected == (caught.value.reason, caught.value.problem)


# --- allowed control tokens ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "answer", "expected"),
    [
        ([], "b</s>", "a⟦b</s></s>⟧"),
        (["</s>"], "b</s>", "a⟦b</s>⟧"),
        (["</s>"], "b</s></s>", "a⟦b</s></s>⟧"),
        (["</s>"], "</s>b", "a⟦</s>b</s>⟧"),
    ],
)
def test_terminator_in_the_data(allowed: list[str], answer: str, expected: str) -> None:
    """A terminator that the data may write is not written a second time."""
    conversation = talk((U, "a"), (A, answer))
    assert expected == marked(load_template("plain"), conversation, allowed=allowed)


def test_bos_in_the_data() -> None:
    """A BOS that the data may write is not put in front a second time."""
    text = text_of(own(bos="always"), talk((U, "a"), (A, "b")), allowed=["<s>"])
    assert text == text_of(own(bos="always"), talk((U, "a"), (A, "b")))
    plain = load_template("plain")
    conversation = talk((U, "<s>a"), (A, "b"))
    pieces, contents = pieces_of(plain, conversation, allowed=["<s>"], implicit_bos=True)
    assert (pieces[0].text, pieces[0].slot, contents[0]) == ("<s>", IMPLICIT_BOS, "a")


def test_answer_of_nothing_but_a_terminator() -> None:
    """An answer that is only the terminator is an empty one."""
    with pytest.raises(RecordError, match="an answer consists only of the terminator </s>"):
        text_of(load_template("plain"), talk((U, "a"), (A, "</s>")), allowed=["</s>"])


# --- what truncation may cut --------------------------------------------------------------------


def parts(template: Template, conversation: Conversation, **options: Any) -> list[tuple[str, str]]:
    """Each stretch of text with the first letter of its Section."""
    pieces, contents = pieces_of(template, conversation, **options)
    return [(contents[p.slot] if p.slot >= 0 else p.text, p.section.name[0]) for p in pieces]


def test_parts_of_a_single_exchange() -> None:
    """With role tokens, one exchange keeps its scaffolding; its user's text can be cut."""
    template = own(tokens=["U"], system="[{content}]", bos="always")
    expected = [
        ("<s>", "K"), ("[", "K"), ("s", "K"), ("]", "K"), ("U", "K"), ("a", "P"), (";", "K"),
        ("A", "K"), ("b", "C"), (".", "C"), ("|", "C"),
    ]  # fmt: skip
    assert expected == parts(template, talk((S, "s"), (U, "a"), (A, "b")))


def test_parts_without_role_tokens() -> None:
    """Without role tokens a prompt is one text, cut from its start."""
    expected = [("a", "P"), ("b", "C"), ("</s>", "C")]
    assert expected == parts(load_template("plain"), talk((U, "a"), (A, "b")))


@pytest.mark.parametrize(
    ("first", "second", "completion"),
    [(None, None, "d.|"), (None, False, "b.|Uc;Ad.|"), (False, None, "d.|")],
)
def test_parts_of_several_exchanges(
    first: bool | None, second: bool | None, completion: str
) -> None:
    """The completion begins with the last answer that is trained; all before it is the prompt."""
    conversation = talk((U, "a"), (A, "b", "", first), (U, "c"), (A, "d", "", second))
    found = parts(own(tokens=["U"]), conversation)
    assert completion == "".join(text for text, part in found if part == "C")
    assert {"P", "C"} == {part for _, part in found}


def test_shapes_share_their_pieces() -> None:
    """Records of one shape have the very same pieces."""
    renderer = TemplateRenderer(own())
    first = renderer.render(talk((U, "a"), (A, "b")))
    second = renderer.render(talk((U, "longer"), (A, "text")))
    assert first.shape == second.shape
    assert renderer.pieces(first.shape) is renderer.pieces(second.shape)
    assert (first.contents, second.contents) == (("a", "", "b", ""), ("longer", "", "text", ""))
