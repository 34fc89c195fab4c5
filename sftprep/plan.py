"""Recipe -> settings: load the tokenizer and the template, and refuse what cannot work.

In     a ``Recipe``.
Out    a ``Plan``: all that is known before the first record is read.
Raises UsageError, TokenizerError, TemplateError, NoInputError: each before anything is written.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sftprep.data.block import Source
from sftprep.dataset.identity import Identity, identity
from sftprep.errors import TemplateError, UsageError
from sftprep.pipeline import Settings
from sftprep.reading.sources import find_sources
from sftprep.recipe import DEFAULT_MAX_LENGTH, Recipe
from sftprep.system.cores import usable_cores
from sftprep.templates.loading import load_template
from sftprep.templates.template import ChatTemplate, Template, run_texts
from sftprep.text import shown
from sftprep.tokenization.cached import resolve_encoding, resolve_tokenizer, versions
from sftprep.tokenization.tokenizer import ROLES, Tokenizer, split_role

LIBRARIES = ("sftprep", "gigatoken", "orjson", "pyarrow", "tokenizers", "transformers")


@dataclass(frozen=True)
class Plan:
    """What a run will do."""

    sources: list[Source]
    settings: Settings
    workers: int

    def recipe_facts(self, recipe: Recipe) -> dict[str, Any]:
        """The options that decide what is written, resolved: no path, nothing of this machine."""
        settings = self.settings
        return {
            "schema": recipe.schema,
            "field": list(recipe.field),
            "template": settings.template.name,
            "template_arg": list(recipe.template_arg),
            "date": recipe.date,
            "system": recipe.system,
            "separator": settings.separator,
            "add_token": list(recipe.add_token),
            "allow_control": list(settings.allowed),
            "max_length": settings.max_length,
            "truncation": settings.truncation,
            "train_on": settings.train_on,
            "per_turn": settings.per_turn,
            "ignore_index": recipe.ignore_index,
            "boundary": settings.boundary,
            "format": recipe.format,
            "shard_size": recipe.shard_bytes,
            "max_line_bytes": recipe.limits.line,
            "on_injection": recipe.on_injection,
            "on_error": recipe.on_error,
            "max_rejects": recipe.max_rejects,
        }

    def identity(self, recipe: Recipe, inputs: Sequence[str]) -> Identity:
        """What decides the bytes, as ``Manifest.identity`` says it of a finished dataset.

        Args:
            recipe: the recipe of this plan.
            inputs: what tells the inputs apart: their SHA-256, or their names.
        """
        return identity(
            recipe=self.recipe_facts(recipe),
            tokenizer=self.settings.tokenizer.sha256,
            template=self.settings.template.sha256,
            libraries=library_versions(),
            inputs=inputs,
        )

    @property
    def names(self) -> list[str]:
        """The sources' paths, for messages."""
        return [source.path for source in self.sources]

    def template_facts(self) -> dict[str, str]:
        """The template, whole: with it and the tokenizer's files all can be done again."""
        used = self.settings.template
        text = used.source if isinstance(used, ChatTemplate) else used.text
        return {"name": used.name, "sha256": used.sha256, "source": text}

    def tokenizer_facts(self) -> dict[str, Any]:
        """What a trainer must know of the tokenizer."""
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
            "pad_is_eos": "pad" in tokenizer.special
            and tokenizer.special["pad"] == tokenizer.special.get("eos"),
        }


def plan(recipe: Recipe) -> Plan:
    """Resolve a recipe; everything that can be refused without reading records is refused here."""
    if not recipe.inputs:
        raise UsageError("no input. Name files, globs or folders, or - for standard input.")
    if recipe.tokenizer is None:
        raise UsageError(
            "no tokenizer. Pass --tokenizer with a folder, a tokenizer.json or a hub id."
        )
    sources = find_sources(recipe.inputs)
    is_chat = is_chat_template(recipe.template)
    plain = None if is_chat else load_template(recipe.template)  # quick: before the tokenizer
    tokenizer = resolve_tokenizer(
        recipe.tokenizer, revision=recipe.revision, add_tokens=recipe.add_token
    )
    if plain is not None:
        check_tokens(plain, tokenizer)
        _check_separator(recipe, plain)
    template = plain or load_chat_template(recipe, tokenizer)
    _check_allowed(recipe, tokenizer)
    settings = Settings(
        tokenizer=tokenizer,
        encoding=resolve_encoding(tokenizer, recipe.allow_control, recipe.backend),
        template=template,
        fields=recipe.field_names,
        system=recipe.system,
        separator=_separator(recipe, tokenizer),
        allowed=tuple(sorted(set(recipe.allow_control))),
        rejects_controls=recipe.on_injection == "reject",
        max_length=recipe.max_length or _default_length(tokenizer),
        truncation=recipe.truncation,
        train_on=recipe.train_on,
        per_turn=recipe.per_turn,
        boundary=recipe.boundary,
        backend=recipe.backend,
    )
    return Plan(sources, settings, recipe.workers or usable_cores())


def is_chat_template(name: str) -> bool:
    """Whether a template's name means a Jinja chat template: the tokenizer's, or a file."""
    return name == "tokenizer" or name.startswith("tokenizer:") or name.endswith(".jinja")


def load_chat_template(recipe: Recipe, tokenizer: Tokenizer) -> ChatTemplate:
    """The tokenizer's own chat template, one of its named ones, or a file."""
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


def library_versions() -> dict[str, str]:
    """The versions of what decides the bytes."""
    return versions(*LIBRARIES)


def check_tokens(template: Template, tokenizer: Tokenizer) -> None:
    """Every token that the template needs is one of the tokenizer's.

    Raises:
        TemplateError: naming the flags that would add what is missing.
    """
    missing = [token for token in template.tokens if token not in tokenizer.ids]
    flags = [f"--add-token '{token}'" for token in missing]
    missing = [shown(token) for token in missing]
    for role in sorted(run_texts(template) & set(ROLES)):
        if tokenizer.special_id(role) is None:
            missing.append(
                f"an {role.upper()} token" if role == "eos" else f"a {role.upper()} token"
            )
            flags.append(f"--add-token '{role}=TOKEN'")
    if missing:
        raise TemplateError(
            f"template {template.name!r} needs {', '.join(missing)}, which tokenizer "
            f"{shown(tokenizer.name)} does not have. Pass {' '.join(flags)}, or choose another "
            "--template."
        )


def _separator(recipe: Recipe, tokenizer: Tokenizer) -> str:
    """The separator: as given, or the sep token where one was named; else none."""
    if recipe.separator is not None:
        return recipe.separator
    named = any(split_role(token)[0] == "sep" for token in recipe.add_token)
    return tokenizer.special["sep"] if named else ""


def _check_separator(recipe: Recipe, template: Template) -> None:
    if recipe.separator and "{separator}" not in template.user + template.header + template.body:
        raise UsageError(
            f"--separator has no place in template {template.name!r}. Use --template plain, or a "
            "template of your own with {separator}."
        )


def _check_allowed(recipe: Recipe, tokenizer: Tokenizer) -> None:
    for token in recipe.allow_control:
        if token not in tokenizer.controls:
            raise UsageError(
                f"--allow-control {shown(token)}: tokenizer {shown(tokenizer.name)} has no such "
                f"control token. Check its spelling, or add it with --add-token {shown(token)}."
            )


def _default_length(tokenizer: Tokenizer) -> int:
    return min(DEFAULT_MAX_LENGTH, tokenizer.model_max_length or DEFAULT_MAX_LENGTH)
