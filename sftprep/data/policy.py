"""Which text of a conversation is trained: ``--train-on`` and the options that take parts away.

In     the values of ``--train-on``, ``--train-reasoning`` and ``--train-tool-calls``.
Out    ``Policy``: which messages have a trained body, and whether the reasoning and the tool calls
       in it are trained. Renderers apply it.

The *body* of a message is its content and what ends the turn. An answer's body also holds its
reasoning and its calls. Role markers are in no body.
"""

from collections.abc import Sequence
from typing import NamedTuple

TRAINABLE = ("system", "user", "assistant", "tool")
"""The roles that ``--train-on`` can name. A developer's message counts as the system's."""
SAME_ROLE = {"developer": "system"}
THINK_TAGS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
)
"""What opens and closes the reasoning in an answer's content, in the families of models."""
CLOSING_TAGS = tuple(closing for _, closing in THINK_TAGS)


class Policy(NamedTuple):
    """What is trained."""

    train_on: str = "completion"  # completion, last, all, or roles with commas between them
    reasoning: str = "all"  # all, last (only that of the last answer) or none
    calls: bool = True  # whether tool calls are trained

    @property
    def trains_all(self) -> bool:
        """Whether all text is trained, not only bodies."""
        return self.train_on == "all"

    @property
    def roles(self) -> frozenset[str]:
        """The roles whose messages have a trained body."""
        if self.train_on in ("completion", "last", "all"):
            return frozenset({"assistant"})
        return frozenset(self.train_on.split(","))

    def has_body(self, role: str) -> bool:
        """Tell whether messages of this role have a trained body."""
        return SAME_ROLE.get(role, role) in self.roles

    def bodies(self, roles: Sequence[str], flags: Sequence[bool | None]) -> list[int]:
        """Return the messages whose bodies are trained.

        A message's own flag wins. That of a message whose body the policy never trains, and that is
        no answer, decides about its content only, and not here.

        Args:
            roles: the role of each message.
            flags: each message's own train flag; None if the policy decides.

        >>> Policy("last").bodies(["user", "assistant"] * 2, [None, True, None, None])
        [1, 3]
        >>> Policy("user").bodies(["user", "assistant"] * 2, [None, True, False, None])
        [0, 1]
        """
        chosen = [index for index, role in enumerate(roles) if self.has_body(role)]
        chosen = chosen[-1:] if self.train_on == "last" else chosen
        return [
            index
            for index, (role, flag) in enumerate(zip(roles, flags, strict=True))
            if (index in chosen and flag is not False)
            or (flag and (role == "assistant" or self.has_body(role)))
        ]

    def without_reasoning(self, roles: Sequence[str]) -> list[int]:
        """Return the answers whose reasoning is not trained.

        >>> Policy(reasoning="last").without_reasoning(["user", "assistant"] * 2)
        [1]
        """
        answers = [index for index, role in enumerate(roles) if role == "assistant"]
        return {"all": [], "last": answers[:-1], "none": answers}[self.reasoning]


COMPLETION = Policy()


def reasoning_length(text: str) -> int:
    r"""Return the length of the reasoning at the start of an answer's content; 0 if there is none.

    The reasoning is what stands in ``<think>`` tags, or in those of other families, with the tags
    and the white space before and after them. If the content does not begin with ``<think>``, it
    may be in the prompt: then all before the first ``</think>`` is reasoning. If ``</think>`` is
    missing, all is reasoning.

    >>> [reasoning_length(t) for t in ("<think>\na</think>\n\nb", "a</think>b", "<think>a", "b")]
    [19, 9, 8, 0]
    """
    if not may_think(text):
        return 0
    return next(filter(None, (_length_in(text, *tags) for tags in THINK_TAGS)), 0)


def may_think(text: str) -> bool:
    """Tell whether a text may hold think tags, without looking for each of them."""
    # Python looks for a single character much faster than for anything else.
    if ">" not in text and "]" not in text:
        return False
    return "think>" in text or "THINK" in text


def _length_in(text: str, opening_tag: str, closing_tag: str) -> int:
    """Return the length of the reasoning at the start of a content, in these tags; 0 if none."""
    opening, closing = text.find(opening_tag), text.find(closing_tag)
    begins = opening >= 0 and not text[:opening].strip()
    if closing < 0:
        return len(text) if begins else 0
    if not begins and 0 <= opening < closing:
        return 0
    end = closing + len(closing_tag)
    return end + len(text[end:]) - len(text[end:].lstrip())
