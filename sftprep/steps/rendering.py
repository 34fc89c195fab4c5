"""Render dialogues with the template of a run, and refuse those that must give no row.

In     conversations or chats.
Out    each of them rendered; the names of what a rendered dialogue leaves out.
Keeps  a chat template within its limits of CPU time and memory.
Raises RecordError: what the renderer raises; ``control_string`` and ``omitted_by_template`` if the
       options ask for it; ``template_limit`` and ``template_too_slow`` for a limit.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from sftprep.data.control_tokens import TurnEnd
from sftprep.data.conversation import Chat, Dialogue
from sftprep.data.omitted import REFUSED, in_words
from sftprep.data.pieces import Rendered, Renderer
from sftprep.errors import RecordError
from sftprep.schemas.placeholders import placeholders
from sftprep.settings import Settings
from sftprep.steps.string_search import StringSearch
from sftprep.system.cpu_limit import CpuLimitReached
from sftprep.templates.content_parts import ContentParts
from sftprep.templates.limits import TemplateLimits
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import ChatTemplate, RunTexts
from sftprep.text import shown

LIMITS = (CpuLimitReached, MemoryError)
"""What ends a rendering at a limit; ``Rendering.refusal`` turns it into the error of the record."""


class Strings(NamedTuple):
    """What rendered dialogues hold of the strings that matter."""

    controls: dict[str, set[int]]  # text of a control token -> the dialogues that hold it
    has_placeholders: bool


class Rendering:
    """The renderer of one pipeline, with the checks and limits that its settings ask for."""

    def __init__(self, settings: Settings) -> None:
        tokenizer = settings.tokenizer
        self._template = settings.template.name
        self._rejects_omissions = settings.rejects_omissions
        self.limits = TemplateLimits(self._template) if settings.untrusted else None
        self.renderer = renderer_for(settings, self.limits)
        self.placeholders = placeholders(settings.plain_text)
        self._controls = frozenset(tokenizer.controls) - set(settings.allowed)
        self._search = StringSearch(self._controls.union(self.placeholders))
        self.render: Callable[[Dialogue], Rendered] = (
            self._render_checked if settings.rejects_controls else self.renderer.render
        )

    def limited(self, size: int) -> AbstractContextManager[None]:
        """Return the context in which a block of this size, in bytes, is rendered."""
        return nullcontext() if self.limits is None else self.limits.block(size)

    def begin_record(self, size: int) -> None:
        """Begin a record of this size, in bytes: its renderings share their limits from now on."""
        if self.limits is not None:
            self.limits.begin_record(size)

    def render_alone(self, dialogue: Dialogue) -> Rendered:
        """Render one dialogue after its block was rendered."""
        if self.limits is None or not isinstance(dialogue, Chat):
            return self.renderer.render(dialogue)
        with self.limits.block(dialogue.size):
            self.limits.begin_record(dialogue.size)
            try:
                return self.renderer.render(dialogue)
            except (RecordError, *LIMITS) as caught:
                error = self.refusal(caught)
        raise error  # out here, it does not hold the template's frames

    def refusal(self, caught: RecordError | CpuLimitReached | MemoryError) -> RecordError:
        """Return the error with which a record is rejected."""
        if isinstance(caught, RecordError):
            return caught
        if self.limits is None:
            raise caught
        return self.limits.refusal(caught)

    def strings_in(self, rendered: Sequence[Rendered]) -> "Strings":
        """Return which of some dialogues hold placeholders and the texts of control tokens."""
        holders = self._search.holders([contents for _, contents in rendered])
        return Strings(
            {string: holders[string] for string in sorted(self._controls & holders.keys())},
            not holders.keys().isdisjoint(self.placeholders),
        )

    def omitted(
        self, dialogues: Sequence[Dialogue], rendered: Sequence[Rendered]
    ) -> dict[int, frozenset[str]]:
        """Return what is left out of each dialogue, by its index; without those that are whole."""
        by_shape = {
            shape: names
            for shape in {record.shape for record in rendered}
            if (names := self.renderer.omitted(shape))
        }
        if not by_shape and not any(map(attrgetter("omitted"), dialogues)):
            return {}
        by_example = (
            by_shape.get(record.shape, frozenset()).union(dialogue.omitted)
            for dialogue, record in zip(dialogues, rendered, strict=True)
        )
        return {index: names for index, names in enumerate(by_example) if names}

    def refuse_omissions(self, omitted: Mapping[int, frozenset[str]]) -> None:
        """Refuse dialogues that would not hold all that the model is to learn or to see."""
        if self._rejects_omissions:
            for names in omitted.values():
                self._refuse(names)

    def refuse_omission(self, dialogue: Dialogue, rendered: Rendered) -> None:
        """Refuse one such dialogue."""
        names = self.renderer.omitted(rendered.shape)
        if self._rejects_omissions and (names or dialogue.omitted):
            self._refuse(names.union(dialogue.omitted))

    def _refuse(self, omitted: frozenset[str]) -> None:
        if refused := omitted & REFUSED:
            raise RecordError(
                "omitted_by_template",
                f"template {shown(self._template)} does not write the record's {in_words(refused)}",
                "Choose another --template, pass --on-omission count to train without it",
            )

    def _render_checked(self, dialogue: Dialogue) -> Rendered:
        """Render one dialogue, and refuse it if it holds a control token's text."""
        rendered = self.renderer.render(dialogue)
        if found := self.strings_in([rendered]).controls:
            raise RecordError(
                "control_string",
                f"the record holds the text of a control token: {', '.join(found)}",
            )
        return rendered


def renderer_for(settings: Settings, limits: TemplateLimits | None) -> Renderer:
    """Return the renderer for the kind of template that the settings have.

    Args:
        settings: the settings.
        limits: what a chat template may use; None for other templates.
    """
    tokenizer, template = settings.tokenizer, settings.template
    if isinstance(template, ChatTemplate):
        # This loads Jinja, which only chat templates need.
        from sftprep.templates.jinja.renderer import ChatRenderer

        return ChatRenderer(
            template,
            variables=tokenizer.variables,
            controls=tokenizer.controls,
            policy=settings.policy,
            turn_end=TurnEnd(frozenset(settings.stops), settings.end_of_turn),
            with_sections=settings.needs_sections,
            limit=None if limits is None else limits.cpu,
            checks_all=settings.checks_all_texts,
        )
    return TemplateRenderer(
        template,
        texts=RunTexts(
            bos=tokenizer.special.get("bos", ""),
            eos=tokenizer.special.get("eos", ""),
            separator=settings.separator,
            end_of_turn=settings.end_of_turn,
        ),
        implicit_bos=tokenizer.adds_bos,
        policy=settings.policy,
        controls=list(tokenizer.controls.values()),
        allowed=settings.allowed,
    )


def content_parts(settings: Settings) -> ContentParts | None:
    """Return what fits the contents of chats to a chat template; None for other templates."""
    template = settings.template
    if not isinstance(template, ChatTemplate):
        return None

    @cache
    def sandbox() -> Any:
        from sftprep.templates.jinja.sandbox import Sandbox

        return Sandbox(
            template.source,
            name=template.name,
            today=template.today,
            variables={**settings.tokenizer.variables, **template.arguments},
        )

    return ContentParts(lambda messages: sandbox().render(messages, None, size=100))
