"""ChatRenderer on generated conversations: exactly what is to be trained is trained."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.chats import CALLS, CHATML, chat_of, renderer, shown

TEXTS = st.one_of(
    st.text(max_size=12),
    st.lists(
        st.sampled_from(
            ["</im>", "<im>assistant\n", "<think>", "</think>", "{{ x }}", "{% raw %}", " ", "\n",
             "é", "<", "|", "a", "0oz", "1cz", "</s>", "user", "\\n", '"', "{}"]
        ),
        max_size=6,
    ).map("".join),
)  # fmt: skip
ANSWERS = TEXTS.filter(str.strip)
EXCHANGES = st.lists(st.tuples(TEXTS, ANSWERS, st.sampled_from([None, True, False])), min_size=1,
                     max_size=4)  # fmt: skip

KNOWN: dict[str, tuple[str, Callable[[str, str], str], Callable[[str], str], str]] = {
    "chatml": (CHATML, lambda r, c: f"<im>{r}\n{c}", lambda c: c, "</im>⟧\n"),
    "trimmed": (
        CHATML.replace("m.content", "m.content | trim"),
        lambda r, c: f"<im>{r}\n{c.strip()}",
        str.strip,
        "</im>⟧\n",
    ),
    "text": (
        "{% for m in messages %}{{ '[' + m.role + ']' + m.content + '<end>' }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}",
        lambda r, c: f"[{r}]{c}",
        lambda c: c,
        "<end>⟧",
    ),
}


def expected(name: str, exchanges: list[tuple[str, str, bool | None]], train_on: str) -> str:
    """Return what the renderer must write, turn by turn."""
    _, turn, body, ending = KNOWN[name]
    end = ending.replace("⟧", "")
    text = ""
    for index, (user, answer, train) in enumerate(exchanges):
        by_policy = train_on != "last" or index == len(exchanges) - 1
        trained = by_policy if train is None else train
        text += turn("user", user) + end + turn("assistant", "")
        text += f"⟦{body(answer)}{ending}" if trained else f"{body(answer)}{end}"
    return text


def as_record(exchanges: list[tuple[str, str, bool | None]]) -> dict[str, Any]:
    """Return the conversation as a record of messages."""
    messages: list[dict[str, Any]] = []
    for user, answer, train in exchanges:
        messages += [
            {"role": "user", "content": user},
            {"role": "assistant", "content": answer, "train": train},
        ]
    return {"messages": messages}


@settings(deadline=None, max_examples=some(60))
@given(st.sampled_from(sorted(KNOWN)), EXCHANGES, st.sampled_from(["completion", "last"]))
def test_trained_text_is_what_was_to_be_trained(
    name: str, exchanges: list[tuple[str, str, bool | None]], train_on: str
) -> None:
    """Each answer that is to be trained is trained with its terminator, and nothing else is."""
    made = renderer(KNOWN[name][0], train_on=train_on)
    assert shown(made, as_record(exchanges)) == expected(name, exchanges, train_on)


@settings(deadline=None, max_examples=some(20))
@given(st.sampled_from(sorted(KNOWN)), st.lists(EXCHANGES, min_size=2, max_size=6))
def test_a_remembered_skeleton_gives_what_a_new_one_gives(
    name: str, conversations: list[list[tuple[str, str, bool | None]]]
) -> None:
    """A skeleton that was derived from another record does not change the result."""
    made = renderer(KNOWN[name][0])
    for exchanges in conversations:
        record = as_record(exchanges)
        assert shown(made, record) == shown(renderer(KNOWN[name][0]), record)


@settings(deadline=None, max_examples=some(30))
@given(ANSWERS, st.dictionaries(st.sampled_from("abc"), TEXTS | st.integers(), max_size=3), TEXTS)
def test_tool_results_are_never_trained(
    answer: str, arguments: dict[str, Any], result: str
) -> None:
    """Tool calls are trained as the template writes them; the tool's result is not."""
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    record = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": result},
            {"role": "assistant", "content": answer},
        ]
    }
    made = renderer(CALLS)
    rendered = made.render(chat_of(record))
    trained = [piece for piece in made.pieces(rendered.shape) if piece.trained]
    texts = [rendered.contents[p.slot] if p.slot >= 0 else p.text for p in trained]
    dumped = json.dumps(call["function"], ensure_ascii=False)
    assert "".join(texts) == f"<call>{dumped}</call></im>{answer}</im>"
