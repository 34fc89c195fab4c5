"""TemplateRenderer: conversations become pieces of text, each of them trained or not.

The templates are small ones of our own. The trained text is shown between ⟦ and ⟧.
"""

from typing import Any

import pytest
from templates.conversations import (
    TWO,
    WITH_SYSTEM,
    A,
    S,
    U,
    marked,
    own,
    pieces_of,
    talk,
    text_of,
)

from sftprep.data.conversation import Conversation, Turn
from sftprep.data.pieces import IMPLICIT_BOS, LITERAL, Section, filled
from sftprep.data.policy import Policy
from sftprep.errors import RecordError
from sftprep.templates.loading import load_template
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import RunTexts, Template

# --- what is trained ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train_on", "expected"),
    [
        ("completion", "Ua;A⟦b.⟧|Uc;A⟦d.⟧|"),
        ("last", "Ua;Ab.|Uc;A⟦d.⟧|"),
        ("all", "⟦Ua;Ab.|Uc;Ad.|⟧"),
    ],
)
def test_train_on_decides_what_is_trained(train_on: str, expected: str) -> None:
    """All answers, the last answer, or all text is trained."""
    assert expected == marked(own(), TWO, policy=Policy(train_on))


@pytest.mark.parametrize(
    ("train_on", "first", "second", "expected"),
    [
        ("completion", False, None, "Ua;Ab.|Uc;A⟦d.⟧|"),
        ("completion", None, False, "Ua;A⟦b.⟧|Uc;Ad.|"),
        ("completion", False, False, "Ua;Ab.|Uc;Ad.|"),
        ("completion", True, True, "Ua;A⟦b.⟧|Uc;A⟦d.⟧|"),
        ("last", None, False, "Ua;Ab.|Uc;Ad.|"),
        ("last", True, None, "Ua;A⟦b.⟧|Uc;A⟦d.⟧|"),
        ("last", True, False, "Ua;A⟦b.⟧|Uc;Ad.|"),
        ("all", False, None, "⟦Ua;A⟧b.⟦|Uc;Ad.|⟧"),
        ("all", None, False, "⟦Ua;Ab.|Uc;A⟧d.⟦|⟧"),
        ("all", True, True, "⟦Ua;Ab.|Uc;Ad.|⟧"),
    ],
)
def test_a_train_flag_wins_over_the_policy(
    train_on: str, first: bool | None, second: bool | None, expected: str
) -> None:
    """A flag says whether the body of its answer is trained, whatever --train-on says."""
    conversation = talk((U, "a"), (A, "b", "", first), (U, "c"), (A, "d", "", second))
    assert expected == marked(own(), conversation, policy=Policy(train_on))


@pytest.mark.parametrize(
    ("train_on", "flag", "expected"),
    [
        ("completion", True, "U⟦a⟧;A⟦b.⟧|"),
        ("last", True, "U⟦a⟧;A⟦b.⟧|"),
        ("completion", False, "Ua;A⟦b.⟧|"),
        ("all", False, "⟦U⟧a⟦;Ab.|⟧"),
    ],
)
def test_a_flag_of_a_user_turn_decides_about_its_content(
    train_on: str, flag: bool, expected: str
) -> None:
    """The template's text around the content follows --train-on."""
    conversation = talk((U, "a", "", flag), (A, "b"))
    assert expected == marked(own(), conversation, policy=Policy(train_on))


# --- BOS, separator, input, system --------------------------------------------------------------


@pytest.mark.parametrize(
    ("bos", "implicit", "expected"),
    [
        ("auto", False, None),
        ("auto", True, IMPLICIT_BOS),
        ("always", False, LITERAL),
        ("always", True, LITERAL),
        ("never", True, None),
    ],
)
def test_a_bos_comes_first_as_the_template_says(
    bos: str, implicit: bool, expected: int | None
) -> None:
    """``always`` writes it, ``auto`` leaves it to the tokenizer, and ``never`` has none."""
    pieces, _ = pieces_of(own(bos=bos), TWO, implicit_bos=implicit)
    found = [(piece.slot, piece.section) for piece in pieces if piece.text == "<s>"]
    assert ([] if expected is None else [(expected, Section.KEPT)]) == found
    assert expected is None or pieces[0].text == "<s>"


def test_the_separator_is_not_trained() -> None:
    """The separator stands between prompt and completion, and belongs to the prompt."""
    assert (
        marked(load_template("plain"), talk((U, "a"), (A, "b")), separator="\n\n") == "a\n\n⟦b</s>⟧"
    )


def test_an_input_without_a_place_follows_the_content() -> None:
    """If a template has no place for an input, the input follows the content on a new line."""
    assert text_of(own(), talk((U, "a", "x"), (A, "b"))) == "Ua\nx;Ab.|"


def test_a_system_prompt_without_a_place_is_left_out() -> None:
    """It is not written, and the shape says so; other records have another shape."""
    renderer = TemplateRenderer(load_template("plain"))
    with_system, without = renderer.render(WITH_SYSTEM), renderer.render(TWO)
    assert renderer.omitted(with_system.shape) == {"system"}
    assert renderer.omitted(without.shape) == frozenset()
    pieces = renderer.pieces(with_system.shape)
    assert filled(pieces, with_system.contents) == filled(pieces, without.contents) == "abcd"
    assert with_system.contents == without.contents


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        (talk((U, "a"), (A, "b")), "[D]Ua;Ab.|"),
        (talk((U, "a", "x"), (A, "b")), "[I]Ua+x;Ab.|"),
        (talk((U, "a"), (A, "b"), (U, "c", "x"), (A, "d")), "[D]Ua;Ab.|Uc+x;Ad.|"),
        (talk((S, "s"), (U, "a", "x"), (A, "b")), "[s]Ua+x;Ab.|"),
    ],
)
def test_a_default_system_prompt_is_used_where_a_record_has_none(
    conversation: Conversation, expected: str
) -> None:
    """The template's own system prompt depends on whether the first user turn has an input."""
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
def test_a_system_prompt_can_go_into_a_user_turn(place: str, expected: str) -> None:
    """``system_in`` puts the system prompt into the first or into the last user turn."""
    template = own(user_with_system="U<{system}>{content};", system_in=place)
    assert expected == text_of(template, WITH_SYSTEM)


def test_contents_are_not_searched_for_placeholders() -> None:
    """Braces and placeholders in a record's text are plain text."""
    conversation = talk((U, "{content}{{x}}{eos}"), (A, "}{bos}"))
    assert text_of(own(), conversation) == "U{content}{{x}}{eos};A}{bos}.|"


# --- trimming -----------------------------------------------------------------------------------


def test_only_the_roles_that_a_template_names_are_trimmed() -> None:
    """Contents of the roles in ``trim`` lose their outer white space; others keep it."""
    conversation = talk((S, " s "), (U, "\n a\n"), (A, " b "))
    template = own(system="[{content}]", trim=["user"])
    assert text_of(template, conversation) == "[ s ]Ua;A b .|"


def test_an_answer_that_is_trimmed_to_nothing_is_refused() -> None:
    """If a template trims answers, an answer of only white space is empty."""
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
def test_an_allowed_terminator_is_not_written_twice(
    allowed: list[str], answer: str, expected: str
) -> None:
    """With --allow-control, an answer may end with the terminator; then there is still only one."""
    conversation = talk((U, "a"), (A, answer))
    assert expected == marked(load_template("plain"), conversation, allowed=allowed)


def test_an_allowed_bos_is_not_written_twice() -> None:
    """With --allow-control, the first content may start with the BOS; then there is only one."""
    text = text_of(own(bos="always"), talk((U, "a"), (A, "b")), allowed=["<s>"])
    assert text == text_of(own(bos="always"), talk((U, "a"), (A, "b")))
    plain = load_template("plain")
    conversation = talk((U, "<s>a"), (A, "b"))
    pieces, contents = pieces_of(plain, conversation, allowed=["<s>"], implicit_bos=True)
    assert (pieces[0].text, pieces[0].slot, contents[0]) == ("<s>", IMPLICIT_BOS, "a")


def test_an_answer_that_is_only_the_terminator_is_refused() -> None:
    """Without the terminator, which the template writes itself, such an answer is empty."""
    with pytest.raises(RecordError, match="an answer consists only of the terminator </s>"):
        text_of(load_template("plain"), talk((U, "a"), (A, "</s>")), allowed=["</s>"])


# --- the section of each piece --------------------------------------------------------------------


def sections(
    template: Template, conversation: Conversation, **options: Any
) -> list[tuple[str, str]]:
    """The text of each piece, with the first letter of its section."""
    pieces, contents = pieces_of(template, conversation, **options)
    return [(contents[p.slot] if p.slot >= 0 else p.text, p.section.name[0]) for p in pieces]


def test_a_single_exchange_keeps_its_role_tokens() -> None:
    """In a template with role tokens, only the user's text of a single exchange may be cut."""
    template = own(tokens=["U"], system="[{content}]", bos="always")
    expected = [
        ("<s>", "K"), ("[", "K"), ("s", "K"), ("]", "K"), ("U", "K"), ("a", "P"), (";", "K"),
        ("A", "K"), ("b", "C"), (".", "C"), ("|", "C"),
    ]  # fmt: skip
    assert expected == sections(template, talk((S, "s"), (U, "a"), (A, "b")))


def test_the_system_prompt_of_a_record_is_kept() -> None:
    """In a plain text, too; the template's own bare system prompt is cut like the rest of it."""
    alpaca = load_template("alpaca")
    own_prompt = sections(alpaca, talk((S, "s"), (U, "a"), (A, "b")))
    assert own_prompt[:2] == [("s", "K"), ("\n\n### Instruction:\n", "P")]
    default = sections(alpaca, talk((U, "a"), (A, "b")))
    assert {"P", "C"} == {section for _, section in default}
    framed = own(system="({content})", default_system="d")
    assert sections(framed, talk((U, "a"), (A, "b")))[:3] == [("(", "K"), ("d", "K"), (")", "K")]


def test_own_and_default_system_prompts_have_shapes_of_their_own() -> None:
    """The two have the same turns, but only the record's own prompt is kept."""
    renderer = TemplateRenderer(load_template("alpaca"))
    shapes = [
        renderer.render(conversation).shape
        for conversation in (talk((S, "s"), (U, "a"), (A, "b")), talk((U, "a"), (A, "b")))
    ]
    assert len(set(shapes)) == 2


@pytest.mark.parametrize("system_in", ["first-user", "last-user"])
def test_a_system_prompt_inside_a_user_turn_is_kept(system_in: str) -> None:
    """With the template's text before and after it, whichever user turn it is in."""
    template = own(bos="always", user_with_system="({system}; {content})", system_in=system_in)
    found = sections(template, talk((S, "s"), (U, "q"), (A, "b"), (U, "r"), (A, "c")))
    assert "".join(text for text, section in found if section == "K") == "<s>(s; "
    after = found[found.index(("; ", "K")) + 1]
    assert after == ("q" if system_in == "first-user" else "r", "P")


def test_a_system_prompt_after_the_text_of_a_user_turn_is_kept() -> None:
    """Then it is kept with the text next to it."""
    template = own(user_with_system="({content}; {system}.)")
    found = sections(template, talk((S, "s"), (U, "q"), (A, "b"), (U, "r"), (A, "c")))
    assert [text for text, section in found if section == "K"] == ["; ", "s", ".)"]


def test_a_bos_in_front_of_other_text_is_kept() -> None:
    """A template that writes the BOS itself may have text right after it."""
    found = sections(own(bos="never", user="<s>U{content}"), talk((U, "a"), (A, "b")))
    assert found[:3] == [("<s>", "K"), ("U", "P"), ("a", "P")]


def test_without_role_tokens_the_whole_prompt_may_be_cut() -> None:
    """In a template without role tokens, the prompt is one text."""
    expected = [("a", "P"), ("b", "C"), ("</s>", "C")]
    assert expected == sections(load_template("plain"), talk((U, "a"), (A, "b")))


@pytest.mark.parametrize(
    ("first", "second", "completion"),
    [(None, None, "d.|"), (None, False, "b.|Uc;Ad.|"), (False, None, "d.|")],
)
def test_the_completion_begins_with_the_last_trained_answer(
    first: bool | None, second: bool | None, completion: str
) -> None:
    """With several exchanges, all text before the last trained answer is the prompt."""
    conversation = talk((U, "a"), (A, "b", "", first), (U, "c"), (A, "d", "", second))
    found = sections(own(tokens=["U"]), conversation)
    assert completion == "".join(text for text, section in found if section == "C")
    assert {"P", "C"} == {section for _, section in found}


# --- shapes -------------------------------------------------------------------------------------


def test_conversations_with_the_same_turns_share_their_pieces() -> None:
    """Pieces are composed once per shape; the records differ only in their contents."""
    renderer = TemplateRenderer(own())
    first = renderer.render(talk((U, "a"), (A, "b")))
    second = renderer.render(talk((U, "longer"), (A, "text")))
    assert first.shape == second.shape
    assert renderer.pieces(first.shape) is renderer.pieces(second.shape)
    assert (first.contents, second.contents) == (("a", "", "b", ""), ("longer", "", "text", ""))


def test_an_answer_follows_the_text_that_inference_feeds() -> None:
    """No shape is reported as one that rewrites the text before an answer."""
    renderer = TemplateRenderer(own())
    assert not renderer.rewrites(renderer.render(TWO).shape)


def test_few_shapes_are_remembered() -> None:
    """As long as there are at most ``most_shapes`` of them, shapes stay valid."""
    renderer = TemplateRenderer(own(), most_shapes=2)
    shapes = [renderer.render(TWO).shape, renderer.render(talk((U, "a"), (A, "b"))).shape]
    assert not renderer.forget()
    assert [len(renderer.pieces(shape)) for shape in shapes] == [14, 7]


def test_many_shapes_are_forgotten() -> None:
    """Conversations with ever different turns do not fill the memory: their shapes are dropped."""
    renderer = TemplateRenderer(own(), most_shapes=2)
    longer = [talk(*[(U, "a"), (A, "b")] * count) for count in range(1, 5)]
    shapes = [renderer.render(conversation).shape for conversation in longer]
    assert shapes == [0, 1, 2, 3]
    assert renderer.forget()
    again = renderer.render(longer[3])
    assert again.shape == 0
    assert filled(renderer.pieces(again.shape), again.contents) == "Ua;Ab.|" * 4
    assert not renderer.forget()


def test_edits_are_remembered_for_equal_turns() -> None:
    """What is done to contents depends on the turns, and is done to every record with them."""
    renderer = TemplateRenderer(own(default_system="D", system="[{content}]", trim=["user"]))
    texts = []
    for user in (" x", "y "):
        rendered = renderer.render(talk((U, user, " i "), (A, "b")))
        texts.append(filled(renderer.pieces(rendered.shape), rendered.contents))
    assert texts == ["[D]Ux\n i;Ab.|", "[D]Uy \n i;Ab.|"]
    assert Turn("system") not in talk((U, "x"), (A, "b")).turns


# --- the end of an answer -------------------------------------------------------------------------

THREE = talk((U, "a"), (A, "b", "", False), (U, "c"), (A, "d"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{content}", "Ua;A⟦b<e>⟧|Uc;A⟦d<e>⟧|"),
        ("{content}.", "Ua;A⟦b.<e>⟧|Uc;A⟦d.<e>⟧|"),
        ("({content}<e>)", "Ua;A⟦(b<e>)⟧|Uc;A⟦(d<e>)⟧|"),
        ("<e>{content}", "Ua;A⟦<e>b<e>⟧|Uc;A⟦<e>d<e>⟧|"),
    ],
)
def test_end_of_turn(body: str, expected: str) -> None:
    """It is written behind each answer, trained, unless the template writes it there."""
    template = own(assistant={"header": "A", "body": body, "after": "|"})
    assert marked(template, TWO, end_of_turn="<e>") == expected


def test_end_of_turn_of_an_answer_that_is_not_trained() -> None:
    """It is written there as well, and not trained."""
    template = own(assistant={"header": "A", "body": "{content}"})
    assert marked(template, THREE, end_of_turn="<e>") == "Ua;Ab<e>Uc;A⟦d<e>⟧"


def test_end_of_turn_in_the_data() -> None:
    """If an answer may hold the token and does, the row has it once."""
    template = own(assistant={"header": "A", "body": "{content}"})
    text = text_of(template, talk((U, "a"), (A, "b<e>")), end_of_turn="<e>", allowed=["<e>"])
    assert text == "Ua;Ab<e>"


@pytest.mark.parametrize("train_on", ["completion", "last", "all"])
@pytest.mark.parametrize("conversation", [TWO, THREE, WITH_SYSTEM])
def test_where_answers_end(conversation: Conversation, train_on: str) -> None:
    """Each trained answer ends behind its terminator, also where all text is trained."""
    answer = {"header": "A", "body": "{content}.", "after": "|"}
    template = own(system="<s>[{content}]", assistant=answer)
    renderer = TemplateRenderer(template, texts=RunTexts(bos="<s>"), policy=Policy(train_on))
    rendered = renderer.render(conversation)
    pieces = renderer.pieces(rendered.shape)
    found = [filled(pieces[:end], rendered.contents) for end in renderer.answers(rendered.shape)]
    start = "<s>[s]" if conversation is WITH_SYSTEM else ""
    expected = [f"{start}Ua;Ab.", f"{start}Ua;Ab.|Uc;Ad."]
    assert found == (expected[1:] if train_on == "last" or conversation is THREE else expected)


# --- which message wrote what -------------------------------------------------------------------


def written(template: Template, conversation: Conversation, **options: Any) -> list[str]:
    """The pieces of one conversation, as "message role part: text"; -1 is no message."""
    pieces, contents = pieces_of(template, conversation, **options)
    return [
        f"{w.message} {w.role} {w.part}: {contents[slot] if slot >= 0 else text}"
        for text, slot, _, _, w in pieces
    ]


def test_each_piece_knows_its_message() -> None:
    """The text of a template belongs to the turn that it writes; at the end, to none."""
    template = own(bos="always", system="[{content}]", end="!")
    assert written(template, talk((S, "s"), (U, "a"), (A, "b"))) == [
        "-1  bos: <s>",
        "0 system template: [", "0 system content: s", "0 system template: ]",
        "1 user template: U", "1 user content: a", "1 user template: ;",
        "2 assistant template: A", "2 assistant content: b", "2 assistant template: .",
        "2 assistant template: |", "-1  template: !",
    ]  # fmt: skip


def test_numbers_are_those_of_the_conversation() -> None:
    """A system prompt that the template adds is none of its messages; one left out is one."""
    added = written(own(system="[{content}]", default_system="d"), talk((U, "a"), (A, "b")))
    assert added[:4] == [
        "-1  template: [", "-1  template: d", "-1  template: ]", "0 user template: U",
    ]  # fmt: skip
    left_out = written(own(), talk((S, "s"), (U, "a"), (A, "b")))
    assert left_out[:2] == ["1 user template: U", "1 user content: a"]


def test_a_system_prompt_in_a_user_turn() -> None:
    """Only the prompt itself is the system's."""
    template = own(user_with_system="U{system}:{content};")
    assert written(template, talk((S, "s"), (U, "a"), (A, "b")))[:5] == [
        "1 user template: U", "0 system content: s", "1 user template: :", "1 user content: a",
        "1 user template: ;",
    ]  # fmt: skip


def test_reasoning_that_is_not_trained_has_a_piece() -> None:
    """It is told apart from the rest of the answer."""
    conversation = talk((U, "a"), (A, "<think>r</think>b"))
    shown = written(own(), conversation, policy=Policy(reasoning="none"))
    assert shown[4:6] == ["1 assistant reasoning: <think>r</think>", "1 assistant content: b"]
