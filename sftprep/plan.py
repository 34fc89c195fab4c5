"""Turn a recipe into settings: load tokenizer and template, and refuse what cannot work.

In     a ``Recipe``.
Out    a ``Plan``: everything that is known before the first record is read.
Raises UsageError, TokenizerError, TemplateError, NoInputError: all before anything is written.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sftprep.arrange.options import Arrangement
from sftprep.arrangement import Material, arrangement_of, resolved_arrangement
from sftprep.data.block import Source
from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.dataset.identity import Identity, fingerprint, identity
from sftprep.dataset.manifest import token_roles
from sftprep.errors import TemplateError, UsageError
from sftprep.reading.sources import find_inputs
from sftprep.recipe import DEFAULT_MAX_LENGTH, Recipe, arranging, escaped, unescaped
from sftprep.schemas.placeholders import PLACEHOLDERS
from sftprep.settings import Settings
from sftprep.system.cores import usable_cores
from sftprep.templates.limits import PATIENCE, PATIENCE_IN_QUARANTINE
from sftprep.templates.loading import is_builtin, load_template
from sftprep.templates.lookalikes import lookalikes
from sftprep.templates.template import (
    ChatTemplate,
    RunTexts,
    Template,
    own_texts,
    run_texts,
    text_after_answer,
    with_run_texts,
)
from sftprep.text import did_you_mean, shown
from sftprep.tokenization.cached import resolve_content_encoding, resolve_tokenizer, versions
from sftprep.tokenization.loading import ROLES, split_role
from sftprep.tokenization.proof import ContentEncoding
from sftprep.tokenization.tokenizer import Tokenizer

LIBRARIES = ("sftprep", "gigatoken", "orjson", "pyarrow", "tokenizers", "transformers")


NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Plan:
    """A recipe, with everything that it names found and loaded."""

    recipe: Recipe
    sources: list[Source]
    settings: Settings
    workers: int
    notes: list[str]  # what the user should know about the inputs

    def identity(self, inputs: Sequence[str]) -> Identity:
        """Return what decides the bytes of the dataset, in the form of ``Manifest.identity``.

        Args:
            inputs: what identifies the inputs, in order: their SHA-256, or their names.
        """
        settings = self.settings
        resolved = {
            "template": settings.template.name,
            "separator": escaped(settings.separator),
            "allow_control": list(settings.allowed),
            "max_length": settings.max_length,
            "format": self.recipe.file_format,
            "shard_size": self.recipe.shard_bytes,
            "max_line_bytes": self.recipe.limits.line,
            **resolved_arrangement(self.recipe, settings.max_length),
        }
        return identity(
            recipe=self.recipe.deciding(resolved),
            tokenizer=settings.tokenizer.sha256,
            **token_roles(self.tokenizer_facts()),
            template=settings.template.sha256,
            libraries=library_versions(near=self.recipe.dedup == "near"),
            inputs=list(inputs),
        )

    def fingerprint_of_rows(self) -> str:
        """Return the fingerprint of what decides the rows before they are arranged."""
        whole = self.identity([source.name for source in self.sources])
        only_arrange = {*arranging()} - {"split_by"}
        kept = {name: v for name, v in whole["recipe"].items() if name not in only_arrange}
        rows = {"recipe": kept, "normalized_keys": self.settings.normalized_keys}
        return fingerprint({**whole, **rows, "libraries": library_versions(near=False)})

    def arrangement(self) -> Arrangement:
        """Return how the rows are to be arranged.

        Raises:
            UsageError: an option cannot be used with these inputs, or with this tokenizer.
        """
        tokenizer = self.settings.tokenizer
        material = Material(
            sources=[source.name for source in self.sources],
            tokenizer=tokenizer.name,
            has_pad="pad" in tokenizer.special,
            max_length=self.settings.max_length,
        )
        return arrangement_of(self.recipe, material)

    def template_facts(self) -> dict[str, str]:
        """Return the manifest's entry for the template, with the template's whole text."""
        used = self.settings.template
        text = used.source if isinstance(used, ChatTemplate) else used.text
        return {"name": used.name, "sha256": used.sha256, "source": text}

    def tokenizer_facts(self) -> dict[str, Any]:
        """Return the manifest's entry for the tokenizer: what a trainer must know about it."""
        tokenizer = self.settings.tokenizer
        return {
            "name": tokenizer.name,
            "sha256": tokenizer.sha256,
            "vocabulary_size": tokenizer.size,
            "model_max_length": tokenizer.model_max_length,
            "added_tokens": {token: tokenizer.ids[token] for token in tokenizer.newly_added},
            "special_tokens": {
                role: {"token": token, "id": tokenizer.special_id(role)}
                for role, token in tokenizer.special.items()
            },
            "adds_bos": tokenizer.adds_bos,
            "stop_tokens": list(self.settings.stops),
            "pad_is_eos": "pad" in tokenizer.special
            and tokenizer.special["pad"] == tokenizer.special.get("eos"),
        }


def plan(recipe: Recipe) -> Plan:
    """Resolve a recipe, and refuse everything that can be refused before a record is read."""
    if not recipe.inputs:
        raise UsageError("no input. Name files, globs or folders, or - for standard input.")
    if recipe.tokenizer is None:
        raise UsageError(
            "no tokenizer. Pass --tokenizer with a folder, a tokenizer.json or a hub id."
        )
    sources, notes = find_inputs(recipe.inputs)
    is_chat = is_chat_template(recipe.template)
    # A wrong template is refused before the tokenizer is loaded, which is slow.
    plain = None if is_chat else load_template(recipe.template)
    tokenizer = resolve_tokenizer(
        recipe.tokenizer, revision=recipe.revision, add_tokens=recipe.add_token
    )
    if plain is not None:
        check_tokens(plain, tokenizer)
    template = plain or load_chat_template(recipe, tokenizer)
    check_template_options(recipe, template, tokenizer)
    _check_allowed(recipe, tokenizer)
    _check_end_of_turn(recipe, template, tokenizer)
    _check_lookalikes(recipe, template, tokenizer)
    encoding = resolve_content_encoding(tokenizer, recipe.allow_control, recipe.backend)
    settings = settings_of(recipe, tokenizer, template, encoding)
    return Plan(recipe, sources, settings, recipe.workers or usable_cores(), notes)


def settings_of(
    recipe: Recipe,
    tokenizer: Tokenizer,
    template: Template | ChatTemplate,
    encoding: ContentEncoding,
) -> Settings:
    """Return the settings of a pipeline.

    Args:
        recipe: the options.
        tokenizer: the tokenizer that the recipe names, resolved.
        template: the template that the recipe names, loaded.
        encoding: how content is encoded, proven for this tokenizer, ``allow_control`` and
            ``backend``.
    """
    splits = recipe.validation is not None or recipe.test is not None
    return Settings(
        tokenizer=tokenizer,
        encoding=encoding,
        template=template,
        fields=recipe.field_names,
        roles=recipe.role_names,
        merge_turns=recipe.merge_turns,
        cuts_end=recipe.on_no_answer == "cut",
        system=recipe.system,
        separator=_separator(recipe, tokenizer),
        plain_text=_plain_text(recipe, template, tokenizer),
        allowed=tuple(sorted(set(recipe.allow_control))),
        rejects_controls=recipe.on_injection == "reject",
        rejects_omissions=recipe.on_omission == "error",
        max_length=recipe.max_length or _default_length(tokenizer, recipe.pack_length),
        truncation=recipe.truncation,
        train_on=recipe.train_on,
        train_reasoning=recipe.train_reasoning,
        train_calls=recipe.train_tool_calls == "yes",
        per_turn=recipe.per_turn,
        normalized_keys=recipe.dedup == "normalized" or splits,
        split_by=recipe.split_by or "",
        end_of_turn=recipe.end_of_turn or "",
        patience=PATIENCE_IN_QUARANTINE if recipe.on_error == "quarantine" else PATIENCE,
        boundary=recipe.boundary,
        backend=recipe.backend,
    )


def is_chat_template(name: str) -> bool:
    """Return True if the name stands for a chat template: the tokenizer's own, or a Jinja file."""
    return name == "tokenizer" or name.startswith("tokenizer:") or name.endswith(".jinja")


def load_chat_template(recipe: Recipe, tokenizer: Tokenizer) -> ChatTemplate:
    """Load the tokenizer's own chat template, one of its named ones, or a file."""
    name = recipe.template
    if name.endswith(".jinja"):
        try:
            source = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateError(f"{name}: cannot be read: {error}. Check the file.") from error
    else:
        wanted = name.partition(":")[2] or "default"
        if wanted not in tokenizer.chat_templates:
            known = ", ".join(tokenizer.chat_templates) or "none"
            raise TemplateError(
                f"tokenizer {shown(tokenizer.name)} has no chat template {shown(wanted)} (it has "
                f"{known}). Pass --template chatml, or --template FILE.jinja."
            )
        source = tokenizer.chat_templates[wanted]
    today = None if recipe.date is None else date.fromisoformat(recipe.date)
    return ChatTemplate(
        name=Path(name).name if name.endswith(".jinja") else name,
        source=source,
        sha256=hashlib.sha256(source.encode()).hexdigest(),
        arguments=recipe.template_arguments,
        today=today,
    )


def library_versions(*, near: bool = False) -> dict[str, str]:
    """Return the versions of the libraries that decide the bytes of a dataset.

    Args:
        near: whether near duplicates are dropped.
    """
    return versions(*LIBRARIES, *(["rensa"] if near else []))


def check_tokens(template: Template, tokenizer: Tokenizer) -> None:
    """Check that the tokenizer has every token that the template needs.

    Raises:
        TemplateError: a token is missing; the text names the flags that add it.
    """
    missing = [token for token in template.tokens if token not in tokenizer.ids]
    roles = sorted(run_texts(template) & set(ROLES))
    needed = [role for role in roles if tokenizer.special_id(role) is None]
    if missing or needed:
        raise TemplateError(
            f"template {template.name!r} {_needs(missing, tokenizer, needed)}, or choose another "
            "--template."
        )


def _needs(texts: Sequence[str], tokenizer: Tokenizer, roles: Sequence[str] = ()) -> str:
    """Say which tokens are needed and missing, and which flags add them.

    Args:
        texts: the texts of tokens.
        tokenizer: the tokenizer that lacks them.
        roles: the roles of special tokens, such as ``eos``.
    """
    articles = {role: "an" if role == "eos" else "a" for role in roles}
    names = [*map(shown, texts), *(f"{a} {role.upper()} token" for role, a in articles.items())]
    flags = [*(f"--add-token {shown(text)}" for text in texts)]
    flags += [f"--add-token '{role}=TOKEN'" for role in roles]
    return (
        f"needs {', '.join(names)}, which tokenizer {shown(tokenizer.name)} does not have. Pass "
        f"{' '.join(flags)}"
    )


def _separator(recipe: Recipe, tokenizer: Tokenizer) -> str:
    """Return ``--separator`` if given, else the sep token if ``--add-token`` names one, else ""."""
    if recipe.separator is not None:
        return unescaped(recipe.separator, "separator")
    named = any(split_role(token)[0] == "sep" for token in recipe.add_token)
    return tokenizer.special["sep"] if named else ""


def check_template_options(
    recipe: Recipe, template: Template | ChatTemplate, tokenizer: Tokenizer
) -> None:
    """Refuse options for the template that it would ignore.

    Args:
        recipe: the options.
        template: the template that the recipe names.
        tokenizer: the tokenizer, whose special tokens a chat template can read.

    Raises:
        UsageError: the template has no use for ``template_arg``, ``date``, ``system`` or
            ``separator``.
    """
    name = f"template {shown(template.name)}"
    if isinstance(template, ChatTemplate):
        if recipe.separator:
            raise UsageError(
                f"--separator cannot be used: {name} is a chat template, which writes its own "
                "separators. Remove the option, or use --template plain."
            )
        if recipe.template_arg or recipe.date is not None or recipe.system is not None:
            _check_chat_options(recipe, template, tokenizer)
        return
    if "tool" in recipe.train_on.split(","):
        raise UsageError(
            f"--train-on {recipe.train_on} cannot be used: {name} takes no tool messages; only "
            "Jinja chat templates do. Remove tool, or choose another --template."
        )
    if recipe.train_tool_calls == "no":
        raise UsageError(
            f"--train-tool-calls no cannot be used: {name} takes no tool calls; only Jinja chat "
            "templates do. Remove the option, or choose another --template."
        )
    if recipe.separator and "separator" not in run_texts(template):
        raise UsageError(
            f"--separator cannot be used: {name} does not contain {{separator}}. Use --template "
            "plain, or a template of your own that contains it."
        )
    if recipe.template_arg:
        raise UsageError(
            f"--template-arg {shown(recipe.template_arg[0])} cannot be used: {name} takes no "
            "arguments; only Jinja chat templates do. Remove the option, or choose another "
            "--template."
        )
    if recipe.date is not None:
        raise UsageError(
            f"--date cannot be used: {name} does not write the date; only Jinja chat templates "
            "can. Remove the option, or choose another --template."
        )
    if recipe.system is not None and template.system is None and template.user_with_system is None:
        raise UsageError(
            f"--system cannot be used: {name} has no place for a system prompt. Remove the option, "
            "or choose another --template."
        )


SET_BY_US = ("messages", "tools", "documents", "add_generation_prompt")
"""The variables of a chat template that are set for each record."""


def _check_chat_options(recipe: Recipe, template: ChatTemplate, tokenizer: Tokenizer) -> None:
    """Refuse options that a chat template would ignore."""
    from sftprep.templates.jinja.trials import try_system_prompt

    name = f"template {shown(template.name)}"
    sandbox = _sandbox(template, tokenizer)
    read = sandbox.names_read()
    known = [key for key in sandbox.arguments() if key not in SET_BY_US]
    for entry in recipe.template_arg:
        key = entry.partition("=")[0]
        if key in SET_BY_US:
            raise UsageError(
                f"--template-arg {shown(entry)} cannot be used: sftprep sets {key} for each "
                "record. Remove the option."
            )
        if key not in read:
            others = f"It reads {', '.join(known)}." if known else "It takes no arguments."
            raise UsageError(
                f"--template-arg {shown(entry)} cannot be used: {name} never reads {key}. "
                f"{did_you_mean(key, known, others)}"
            )
    if recipe.date is not None and "strftime_now" not in read:
        dates = [key for key in known if "date" in key]
        cure = f"It reads {dates[0]}: pass --template-arg {dates[0]}=TEXT" if dates else "Remove it"
        raise UsageError(f"--date cannot be used: {name} does not ask for the date. {cure}.")
    if recipe.system is not None and (why := try_system_prompt(sandbox)):
        raise UsageError(
            f"--system cannot be used: {name} {why}. Remove the option, or choose another "
            "--template."
        )


def _sandbox(
    template: ChatTemplate, tokenizer: Tokenizer, more: Mapping[str, str] = NO_VARIABLES
) -> Any:
    """Return the sandbox in which a chat template is tried out, with little time.

    Args:
        template: the template.
        tokenizer: the tokenizer, whose special tokens a template can read.
        more: variables of the template besides these tokens and the template's arguments.
    """
    from sftprep.system.cpu_limit import CpuLimit
    from sftprep.templates.jinja.sandbox import Sandbox

    return Sandbox(
        template.source,
        name=template.name,
        today=template.today,
        variables={**more, **tokenizer.variables, **template.arguments},
        limit=CpuLimit(1.0),
    )


def _check_allowed(recipe: Recipe, tokenizer: Tokenizer) -> None:
    for token in recipe.allow_control:
        if token not in tokenizer.controls:
            raise UsageError(
                f"--allow-control {shown(token)}: tokenizer {shown(tokenizer.name)} has no such "
                f"control token. Check its spelling, or add it with --add-token {shown(token)}."
            )


def _check_end_of_turn(
    recipe: Recipe, template: Template | ChatTemplate, tokenizer: Tokenizer
) -> None:
    """Refuse an ``end_of_turn`` that is no token, or that the template has no place for."""
    token = recipe.end_of_turn
    if token is None:
        return
    given = f"--end-of-turn {shown(token)}"
    if token not in tokenizer.controls:
        raise UsageError(
            f"{given}: tokenizer {shown(tokenizer.name)} has no such control token. Check its "
            f"spelling, or add it with --add-token {shown(token)}."
        )
    if isinstance(template, ChatTemplate):
        return
    texts = RunTexts(
        bos=tokenizer.special.get("bos", ""),
        eos=tokenizer.special.get("eos", ""),
        separator=_separator(recipe, tokenizer),
    )
    finder = ControlTokens(list(tokenizer.controls.values()))

    def tokens_in(text: str) -> list[str]:
        return [part.content for part in finder.split(text) if isinstance(part, AddedToken)]

    name = f"template {shown(template.name)}"
    written = tokens_in(text_after_answer(template, texts))
    if written and token not in written:
        raise UsageError(
            f"{given} cannot be used: {name} ends each answer with {shown(written[0])}. Remove the "
            "option, or choose another --template."
        )
    for key in () if written else ("after", "end"):
        if token in tokens_in(with_run_texts(getattr(template, key), texts)):
            raise UsageError(
                f"{given} cannot be used: {name} writes this token in {key!r}, where it is not "
                "trained. Remove the option, and move the token to the end of the template's "
                "'body'."
            )


def _check_lookalikes(
    recipe: Recipe, template: Template | ChatTemplate, tokenizer: Tokenizer
) -> None:
    """Refuse a template or a separator that needs a token which the tokenizer does not have.

    The tokenizer's own chat template and the built-in templates are not checked: what looks like a
    token in them and is none is meant as text.
    """
    controls = ControlTokens(list(tokenizer.controls.values()))
    plain_text = [text for text in recipe.plain_text if text not in PLACEHOLDERS]
    for text in plain_text:
        if lookalikes([text], controls) != [text]:
            is_token = text in tokenizer.controls
            why = "is a token of the tokenizer" if is_token else "looks like no control token"
            raise UsageError(
                f"--plain-text {shown(text)} cannot be used: the text {why}. Remove the option."
            )
    found = lookalikes([_separator(recipe, tokenizer)], controls)
    if isinstance(template, Template):
        written = {*found, *lookalikes(own_texts(template), controls)}
        for text in plain_text:
            if text not in written:
                raise UsageError(
                    f"--plain-text {shown(text)} cannot be used: template {shown(template.name)} "
                    "does not write this text. Remove the option."
                )
    if missing := [text for text in found if text not in recipe.plain_text]:
        raise UsageError(f"--separator {_needs(missing, tokenizer)}, or {_as_text(missing)}.")
    roles: list[str] = []
    if isinstance(template, Template):
        found = [] if is_builtin(template) else lookalikes(own_texts(template), controls)
    else:
        found, roles = _missing_in_chat_template(recipe, template, tokenizer, controls)
    missing = [text for text in found if text not in recipe.plain_text]
    if missing or roles:
        as_text = f" {_as_text(missing)}," if missing else ""
        raise TemplateError(
            f"template {shown(template.name)} {_needs(missing, tokenizer, roles)},{as_text} or "
            "choose another --template."
        )


def _missing_in_chat_template(
    recipe: Recipe, template: ChatTemplate, tokenizer: Tokenizer, controls: ControlTokens
) -> tuple[list[str], list[str]]:
    """Return what a chat template needs and the tokenizer lacks.

    Returns:
        the texts that look like tokens and are none, and the roles of special tokens.
    """
    from sftprep.templates.jinja.trials import try_tokens

    missing = try_tokens(lambda more: _sandbox(template, tokenizer, more), controls)
    texts = missing.texts if recipe.template.endswith(".jinja") else []
    return texts, [variable.removesuffix("_token") for variable in missing.variables]


def _as_text(missing: Sequence[str]) -> str:
    """Return the flag that says that the first of these texts is meant as text."""
    which = "it is" if len(missing) == 1 else "one is"
    return f"--plain-text {shown(missing[0])} if {which} meant as plain text"


def _plain_text(
    recipe: Recipe, template: Template | ChatTemplate, tokenizer: Tokenizer
) -> tuple[str, ...]:
    """Return the texts that look like control tokens, and are known to be meant as plain text."""
    known = set(recipe.plain_text)
    if isinstance(template, Template) and is_builtin(template):
        controls = ControlTokens(list(tokenizer.controls.values()))
        known.update(lookalikes(own_texts(template), controls))
    return tuple(sorted(known))


def _default_length(tokenizer: Tokenizer, pack_length: int | None) -> int:
    limits = (tokenizer.model_max_length, pack_length)
    return min(DEFAULT_MAX_LENGTH, *(limit or DEFAULT_MAX_LENGTH for limit in limits))
