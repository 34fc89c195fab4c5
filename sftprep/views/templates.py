"""List the built-in templates, or show one: rendered, with the trained text marked.

In     the name of a built-in template, or the path of a user's own template file.
Out    text. The real renderer renders example conversations. Signs such as ``‹eos›`` stand for the
       tokenizer's own tokens, so no tokenizer is needed.
Raises TemplateError: there is no such template, or the file is not a template.
"""

import re
from collections.abc import Sequence

from sftprep.data.conversation import Conversation, Message
from sftprep.templates.loading import builtin_names, load_template
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import RunTexts, Template, run_texts
from sftprep.text import ascii_safe
from sftprep.views.token_text import Unit, legend, paint

SIGNS = {"bos": "‹bos›", "eos": "‹eos›", "separator": "‹separator›"}
"""Placeholder -> the sign that stands for the text that the tokenizer or the user gives."""
BOS = {
    "auto": "first, if the tokenizer itself adds one (not shown below)",
    "always": "always first",
    "never": "none",
}
SYSTEM = Message("system", "Answer in one sentence.")
EXCHANGES = (
    Message("user", "Which planet is the largest?"),
    Message("assistant", "Jupiter is the largest planet."),
    Message("user", "And the smallest?"),
    Message("assistant", "Mercury is the smallest."),
)
WITH_INPUT = (
    Message("user", "Translate into French.", "Good morning!"),
    Message("assistant", "Bonjour !"),
)
SYSTEM_ZH = Message("system", "请用一句话回答。")
EXCHANGES_ZH = (
    Message("user", "最大的行星是哪一颗？"),
    Message("assistant", "木星是最大的行星。"),
    Message("user", "最小的呢？"),
    Message("assistant", "水星是最小的行星。"),
)
WITH_INPUT_ZH = (
    Message("user", "翻译成英文。", "早上好！"),
    Message("assistant", "Good morning!"),
)
CHINESE = re.compile("[\u4e00-\u9fff]")


def list_templates() -> str:
    """Return the built-in templates, one line per template."""
    found = [load_template(name) for name in builtin_names()]
    width = max(len(template.name) for template in found)
    lines = [f"{template.name:<{width}}  {template.description}" for template in found]
    hint = "sftprep templates NAME shows one with an example; NAME may be a YAML file."
    return "\n".join([*lines, "", hint])


def describe_template(name: str, *, colour: bool) -> str:
    """Describe a template: what it is, what it needs, and an example conversation rendered.

    Args:
        name: the name of a built-in template, or the path of a user's own.
        colour: True to mark text with colours; False to mark it with plain characters.
    """
    template = load_template(name)
    parts = [
        f"{_description(template)}\n{legend(colour=colour, boundaries=False)}",
        paint(_example(template, with_input=False), colour=colour, boundaries=False),
    ]
    if template.user_with_input is not None:
        example = paint(_example(template, with_input=True), colour=colour, boundaries=False)
        parts += ["if a record has an input:", example]
    return "\n\n".join(parts)


def _description(template: Template) -> str:
    """Return the template's name, its source, and what the tokenizer must have."""
    used = run_texts(template)
    own = [SIGNS[role] for role in ("bos", "eos") if role in used]
    needs = [*template.tokens, *([f"the tokenizer's {' and '.join(own)}"] if own else [])]
    entries = {
        "source": template.source,
        "needs": ", ".join(needs) or "no special token",
        "BOS": BOS[template.bos],
        "separator": f"{SIGNS['separator']}: empty, unless given" if "separator" in used else "",
    }
    width = max(len(key) for key, value in entries.items() if value)
    head = f"{template.name}: {template.description}" if template.description else template.name
    lines = [f"  {key:<{width}}  {value}" for key, value in entries.items() if value]
    return "\n".join(map(ascii_safe, [head, *lines]))


def _example(template: Template, *, with_input: bool) -> list[Unit]:
    """Render an example conversation; return its text as units."""
    renderer = TemplateRenderer(
        template,
        texts=RunTexts(bos=SIGNS["bos"], eos=SIGNS["eos"], separator=SIGNS["separator"]),
    )
    rendered = renderer.render(Conversation.of(*_messages(template, with_input=with_input)))
    found: list[Unit] = []
    for piece in renderer.pieces(rendered.shape):
        if piece.slot >= 0:
            found.append(Unit(rendered.contents[piece.slot], piece.trained))
        else:
            found += _split_at_tokens(piece.text, piece.trained, template.tokens)
    return [unit for unit in found if unit.text]


def _messages(template: Template, *, with_input: bool) -> tuple[Message, ...]:
    """Choose an example that suits the template: its language, a system prompt, one turn or two."""
    chinese = CHINESE.search(template.user) is not None
    messages: tuple[Message, ...] = EXCHANGES_ZH if chinese else EXCHANGES
    if with_input:
        messages = WITH_INPUT_ZH if chinese else WITH_INPUT
    elif not (template.tokens or template.header):
        messages = messages[:2]  # nothing marks the turns, so show only one exchange
    takes_system = template.system is not None or template.user_with_system is not None
    if takes_system and template.default_system is None:
        return (SYSTEM_ZH if chinese else SYSTEM, *messages)
    return messages


def _split_at_tokens(text: str, trained: bool, tokens: Sequence[str]) -> list[Unit]:
    """Divide the text of a template at its tokens and at ``SIGNS``; show both as control tokens."""
    controls = sorted([*tokens, *SIGNS.values()], key=len, reverse=True)
    found = re.split(f"({'|'.join(map(re.escape, controls))})", text)
    return [Unit(part, trained, control=part in controls) for part in found]
