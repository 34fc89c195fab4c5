"""Render a chat template in a sandbox, where it can do nothing but write text.

In     the source of a Jinja template as models ship it: untrusted code.
Out    ``Sandbox``: renders messages as ``transformers.apply_chat_template`` does.
Keeps  the environment that transformers gives: trimmed blocks, loop controls, the ``generation``
       tag, ``tojson`` without HTML escapes, ``raise_exception``, ``strftime_now``.
Never  runs Python code of the template, reads files, or gives varying results: ``random`` and
       ``lipsum`` are removed, and ``strftime_now`` formats one given date. Time, output, and the
       size of what ``*`` and ``**`` build are limited.
Raises TemplateError: the source is not a template, or it needs a date and none was given.
       RecordError: the template refuses this record, fails on it, or writes too much.
       CpuLimitReached, MemoryError: a limit of this process. They depend on the machine, so no
       caller may go on with the record, or remember anything about it; see ``templates.limits``.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from functools import wraps
from types import CodeType
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.filters
import jinja2.meta
import jinja2.nodes
import jinja2.parser
from jinja2.exceptions import SecurityError
from jinja2.runtime import new_context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sftprep.errors import RecordError, TemplateError
from sftprep.system.cpu_limit import CpuLimit
from sftprep.templates.limits import SECONDS
from sftprep.text import ascii_safe

OUTPUT_FACTOR = 64
OUTPUT_SPARE = 1 << 20
"""A template may write ``OUTPUT_FACTOR`` times the record's size plus this many characters."""
LONGEST_PRODUCT = 1 << 20  # of a text or list that is multiplied by a number
LARGEST_BASE, LARGEST_EXPONENT = 1 << 16, 64
LARGEST_ARGUMENT = 1 << 16  # a number given to a filter or to a method of a text: a width, a count
ATTRIBUTES_OF_DICTS = frozenset(dir(dict))
SEQUENCES = (str, bytes, list, tuple)

WIDE_FORMAT = re.compile(r"\d{6}|%[^a-zA-Z]*\*|\{[^{}]*\{")
"""Matches a format string with a large width, or with a width that is itself an argument."""

FILTERS_WITH_NUMBERS = ("batch", "center", "indent", "round", "slice", "truncate", "wordwrap")


class _Refused(jinja2.TemplateError):
    """The template itself refused a conversation, with ``raise_exception``."""


class _Generation(jinja2.ext.Extension):
    """``{% generation %} ... {% endgeneration %}``: encloses what the model is trained to write."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """Compile the tag to a call, so that marks can be put around the text of its body."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_marked")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _marked(self, caller: Callable[[], str]) -> str:
        environment = self.environment
        assert isinstance(environment, Environment)
        return environment.generated(caller())


COMPILED: dict[tuple[Any, ...], tuple[CodeType, bool]] = {}
"""The code of templates, and whether each has a main loop."""
MOST_COMPILED = 64


class Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with more restrictions.

    Attributes:
        main_loop_decides: whether the template has a main loop, see ``main_loops``. Only a traced
            environment looks for one.
    """

    main_loop_decides = False
    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, today: date | None) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, jinja2.ext.loopcontrols],
        )
        for name in ("lipsum", "cycler"):
            del self.globals[name]
        del self.filters["random"]
        for name in FILTERS_WITH_NUMBERS:
            self.filters[name] = _with_limited_arguments(self.filters[name])
        self.filters["format"] = _format
        self.filters["sum"] = _sum
        self.filters["tojson"] = _with_limited_arguments(self._tojson)
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime(today)

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """Multiply, raise to a power or format, unless the result could be extremely large."""
        if operator == "%":
            if isinstance(left, str):
                _refuse_wide_format(left)
        elif operator == "*":
            size = next((len(x) for x in (left, right) if isinstance(x, SEQUENCES)), None)
            times = next((x for x in (left, right) if isinstance(x, int)), 0)
            if size is not None and size * times > LONGEST_PRODUCT:
                raise SecurityError("a product of text or lists is too long")
        elif not (abs(left) <= LARGEST_BASE and abs(right) <= LARGEST_EXPONENT):
            raise SecurityError("a power is too large")
        return super().call_binop(context, operator, left, right)

    def call(self, context: jinja2.runtime.Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function, unless it is a method that could build something extremely long."""
        if args and isinstance(getattr(obj, "__self__", None), str | bytes | int):
            _refuse_large_numbers(args)
        return super().call(context, obj, *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute or item; an item of an object without looking for an attribute."""
        if type(obj) is dict and attribute not in ATTRIBUTES_OF_DICTS:
            if attribute in obj:
                return obj[attribute]
            return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def generated(self, text: str) -> str:
        """Return what to write for a ``generation`` body with this text."""
        return text

    def dump(self, value: Any, **options: Any) -> str:
        """Return the JSON of a value; ``tojson`` calls this with options as for ``json.dumps``."""
        return json.dumps(value, **options)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return Jinja's safe version of ``str.format``, with a limit on widths."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _refuse_wide_format(value.__self__)
        return wrapped

    def compiled(self, source: str) -> jinja2.Template:
        """Compile a template without evaluating any of its filters.

        Jinja's compiler would apply filters to constants, and the time limit does not cover it. A
        source that was compiled in this process is not compiled again.
        """
        # What decides the code:
        key = (type(self)._parse, *self.extensions, self.intercepted_binops, source)
        if key not in COMPILED:
            with self._filters_unevaluated():
                code = self.compile(source)
            if len(COMPILED) == MOST_COMPILED:
                COMPILED.clear()
            COMPILED[key] = code, self.main_loop_decides
        code, self.main_loop_decides = COMPILED[key]
        return self.template_class.from_code(self, code, self.make_globals(None))

    def names_read(self, source: str) -> set[str]:
        """Return the names that a template reads and does not set itself."""
        with self._filters_unevaluated():
            tree = self.parse(source)
            names = jinja2.meta.find_undeclared_variables(tree)
        used = {name.name for name in tree.find_all(jinja2.nodes.Name) if name.ctx == "load"}
        return names | (used & self.globals.keys())

    @contextmanager
    def _filters_unevaluated(self) -> Iterator[None]:
        filters = self.filters
        self.filters = {name: _never_evaluated(function) for name, function in filters.items()}
        try:
            yield
        finally:
            self.filters = filters

    def _tojson(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return self.dump(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )


def _with_limited_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that refuses large numbers as arguments."""

    @wraps(function)
    def limited(value: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_large_numbers((*args, *kwargs.values()))
        return function(value, *args, **kwargs)

    return limited


def _never_evaluated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a stand-in for a filter that tells Jinja's compiler not to evaluate it."""

    @wraps(function)
    def stand_in(*_args: Any, **_options: Any) -> NoReturn:
        raise jinja2.nodes.Impossible

    return stand_in


def _format(form: str, *args: Any, **kwargs: Any) -> str:
    _refuse_wide_format(str(form))
    return jinja2.filters.do_format(form, *args, **kwargs)


def _sum(values: Any, attribute: str | int | None = None, start: float = 0) -> Any:
    if not isinstance(start, int | float):
        raise SecurityError("sum adds numbers only")
    return sum((v if attribute is None else v[attribute] for v in values), start)


def _refuse_wide_format(form: str) -> None:
    if WIDE_FORMAT.search(form):
        raise SecurityError("a width is too large")


def _refuse_large_numbers(values: Iterable[Any]) -> None:
    if any(isinstance(value, int) and abs(value) > LARGEST_ARGUMENT for value in values):
        raise SecurityError("a width is too large")


def _raise_exception(message: str) -> NoReturn:
    raise _Refused(message)


def _strftime(today: date | None) -> Callable[[str], str]:
    def strftime_now(form: str) -> str:
        if today is None:
            raise TemplateError(
                "the chat template writes today's date, and a dataset must not depend on the day "
                "it was built. Pass --date YYYY-MM-DD."
            )
        return datetime.combine(today, time()).strftime(form)

    return strftime_now


class Sandbox:
    """A compiled chat template.

    Args:
        source: the template's text.
        name: the template's name in error messages.
        today: the date that ``strftime_now`` formats; if None, a template that calls it fails.
        variables: special tokens and template arguments, by name.
        limit: the limit on CPU time; by default ``SECONDS`` for each rendering.
        environment: makes another environment than ``Environment``, for the date ``today``.
    """

    def __init__(
        self,
        source: str,
        *,
        name: str,
        today: date | None,
        variables: Mapping[str, Any],
        limit: CpuLimit | None = None,
        environment: "Callable[[date | None], Environment] | None" = None,
    ) -> None:
        self._name = name
        self._source = source
        self._variables = dict(variables)
        self._limit = limit or CpuLimit(SECONDS)
        self._environment = (environment or Environment)(today)
        try:
            self._template = self._environment.compiled(source)
        except Exception as error:
            # Jinja checks the syntax only: a number with too many digits, for instance, is refused
            # by Python.
            reason = ascii_safe(str(error).splitlines()[0] if str(error) else "too deeply nested")
            line = getattr(error, "lineno", None)
            place = f"{name}, line {line}" if line else name
            raise TemplateError(
                f"chat template {place}: {reason.rstrip('.')}. Correct the template."
            ) from error
        self._globals = dict(self._template.globals)

    def names_read(self) -> set[str]:
        """Return the names of the variables and functions that the template may read.

        A name that the template sets before each use is not among them.
        """
        return self._environment.names_read(self._source)

    def arguments(self) -> list[str]:
        """Return the names that are most likely meant as arguments of the template.

        These are the names that it reads, without functions, and without names that it sets itself
        and never tests with ``is defined``.
        """
        names = self.names_read() - set(self._environment.globals)
        tree = self._environment.parse(self._source)
        written = {n.name for n in tree.find_all(jinja2.nodes.Name) if n.ctx == "store"}
        tests = (t for t in tree.find_all(jinja2.nodes.Test) if t.name in ("defined", "undefined"))
        tested = {t.node.name for t in tests if isinstance(t.node, jinja2.nodes.Name)}
        return sorted(names - (written - tested))

    def has_generation(self) -> bool:
        """Tell whether the template has ``{% generation %}`` markers."""
        tree = self._environment.parse(self._source)
        calls = tree.find_all(jinja2.nodes.CallBlock)
        marked = (f"{_Generation.__module__}.{_Generation.__name__}", "_marked")
        return any(
            isinstance(block.call.node, jinja2.nodes.ExtensionAttribute)
            and (block.call.node.identifier, block.call.node.name) == marked
            for block in calls
        )

    def render(
        self,
        messages: list[dict[str, Any]],
        tools: list[Any] | None,
        *,
        size: int,
        add_generation_prompt: bool = False,
        arguments: Iterable[tuple[str, Any]] = (),
    ) -> str:
        """Return the text of a conversation.

        Args:
            messages: the messages.
            tools: the tools, None if there are none.
            size: about how many characters the messages and tools have; it limits the output.
            add_generation_prompt: whether to end with the text that asks the model to answer.
            arguments: the record's own template arguments, by name; they win over ``variables``.
        """
        values = {
            **self._variables,
            **dict(arguments),
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            with self._limit:
                return self._written(values, OUTPUT_FACTOR * size + OUTPUT_SPARE)
        except (TemplateError, RecordError, MemoryError):
            raise
        except _Refused as error:
            raise _error("template_refused", f"{self._name} refuses the record: {error}") from error
        except Exception as error:
            # A template can fail in any way that Python expressions can.
            reason = f"{type(error).__name__}: {error}"
            raise _error("template_failed", f"{self._name} fails: {reason}") from error

    def _written(self, values: dict[str, Any], limit: int) -> str:
        """Render, and stop as soon as the output is longer than the limit."""
        return self._environment.concat(self._stretches(values, limit))

    def _stretches(self, values: dict[str, Any], limit: int) -> Iterator[str]:
        """Yield the text as the template writes it, up to the limit."""
        template = self._template
        # ``Template.new_context`` would go through the globals twice for each rendering.
        variables = {**self._globals, **values}
        context = new_context(template.environment, template.name, template.blocks, variables, True)
        for text in template.root_render_func(context):
            yield text
            limit -= len(text)
            if limit < 0:
                raise _error(
                    "template_limit",
                    f"{self._name} writes more than {OUTPUT_FACTOR} times the record's size",
                )


def _error(reason: str, what: str) -> RecordError:
    problem = f"chat template {ascii_safe(what)[:300].rstrip('.')}"
    return RecordError(reason, problem, "Correct the template or the record")
