"""A place where a chat template can be rendered and can do nothing else.

In     the source of a Jinja template, as models ship them: untrusted.
Out    ``Sandbox``: renders messages as ``transformers.apply_chat_template`` does.
Keeps  transformers' environment: trimmed blocks, loop controls, the ``generation`` tag, ``tojson``
       without HTML escapes, ``raise_exception``, ``strftime_now``.
Never  runs code, loads files, or varies: ``random`` and ``lipsum`` are gone, and ``strftime_now``
       tells one given date. Time, output, and what ``*`` and ``**`` can build are limited.
Raises TemplateError: the source is no template, or it needs what is not there.
       RecordError: the template refuses this record, or does not come to an end with it.
"""

import json
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from functools import wraps
from types import FrameType
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.filters
import jinja2.nodes
import jinja2.parser
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sftprep.errors import RecordError, TemplateError
from sftprep.text import ascii_safe

SECONDS = 5.0  # for one record
SIZED = (str, bytes, list, tuple)
PATIENCE = 3  # records that may take longer, before the run is given up
OUTPUT_FACTOR = 64  # times the record's size, in characters
OUTPUT_SPARE = 1 << 20
LONGEST_PRODUCT = 1 << 20  # of a text or list and a number
LARGEST_POWER = 1 << 16
WIDEST = 1 << 16  # number given to a filter or a method of a text: a width, a count
SIZED = (str, bytes, list, tuple)
PATIENCE = 3  # records that a template may take too long for

WIDE_FORM = re.compile(r"\d{6}|%[^a-zA-Z]*\*|\{[^{}]*\{")
"""A format whose width is large, or comes from elsewhere."""

FILTERS_WITH_NUMBERS = ("batch", "center", "indent", "round", "slice", "truncate", "wordwrap")


class _Refused(jinja2.TemplateError):
    """The template itself refused a conversation (``raise_exception``)."""


class _TimeOut(BaseException):
    """Rendering took too long; no template can catch it."""


class _Generation(jinja2.ext.Extension):
    """``{% generation %} ... {% endgeneration %}``: what the model is trained to write."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """Wrap the body in a call, so that its text can be bracketed."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_bracketed")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _bracketed(self, caller: Callable[[], str]) -> str:
        environment = self.environment
        assert isinstance(environment, _Environment)
        left, right = environment.brackets
        return f"{left}{caller()}{right}"


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, narrower."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, today: date | None) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, jinja2.ext.loopcontrols],
        )
        self.brackets = ("", "")  # put around what ``generation`` holds
        self.dump: Callable[..., str] = _dump
        for name in ("lipsum", "cycler"):
            del self.globals[name]
        del self.filters["random"]
        for name in FILTERS_WITH_NUMBERS:
            self.filters[name] = _narrow(self.filters[name])
        self.filters["format"] = _format
        self.filters["sum"] = _sum
        self.filters["tojson"] = _narrow(self._tojson)
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime(today)

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """Multiply or format, unless the result would be out of all proportion."""
        if operator == "%":
            if isinstance(left, str):
                _refuse_widths(left)
        elif operator == "*":
            size = next((len(x) for x in (left, right) if isinstance(x, SIZED)), None)
            times = next((x for x in (left, right) if isinstance(x, int)), 0)
            if size is not None and size * times > LONGEST_PRODUCT:
                raise SecurityError("a product of text or lists is too long")
        elif not (abs(left) <= LARGEST_POWER and abs(right) <= 64):
            raise SecurityError("a power is too large")
        return super().call_binop(context, operator, left, right)

    def call(self, context: jinja2.runtime.Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call, unless a method of a text or number is to make something very long."""
        if args and isinstance(getattr(obj, "__self__", None), str | bytes | int):
            _refuse_numbers(args)
        return super().call(context, obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``str.format`` as Jinja makes it safe, with widths within reason."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _refuse_widths(value.__self__)
        return wrapped

    def compiled(self, source: str) -> jinja2.Template:
        """A template; nothing of it is worked out before it is rendered."""
        filters = self.filters
        self.filters = {name: _unfolded(function) for name, function in filters.items()}
        try:
            return self.from_string(source)
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


def _narrow(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same filter, for widths and counts within reason."""

    @wraps(function)
    def narrowed(value: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_numbers((*args, *kwargs.values()))
        return function(value, *args, **kwargs)

    return narrowed


def _unfolded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same filter for the compiler, which is not to try it on constants."""

    @wraps(function)
    def unfolded(*_args: Any, **_options: Any) -> NoReturn:
        raise jinja2.nodes.Impossible

    return unfolded


def _format(form: str, *args: Any, **kwargs: Any) -> str:
    _refuse_widths(str(form))
    return jinja2.filters.do_format(form, *args, **kwargs)


def _sum(values: Any, attribute: str | int | None = None, start: float = 0) -> Any:
    if not isinstance(start, int | float):
        raise SecurityError("only numbers are added up")
    return sum((v if attribute is None else v[attribute] for v in values), start)


def _refuse_widths(form: str) -> None:
    if WIDE_FORM.search(form):
        raise SecurityError("a width is too large")


def _refuse_numbers(values: Iterable[Any]) -> None:
    if any(isinstance(value, int) and abs(value) > WIDEST for value in values):
        raise SecurityError("a width is too large")


def _dump(value: Any, **options: Any) -> str:
    return json.dumps(value, **options)


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
    """A compiled template.

    Args:
        source: the template's text.
        name: what errors call it.
        today: the date that ``strftime_now`` tells.
        variables: special tokens and template arguments, by name.
    """

    def __init__(
        self, source: str, *, name: str, today: date | None, variables: Mapping[str, Any]
    ) -> None:
        self._name = name
        self._expired = 0  # records that took too long
        self._variables = dict(variables)
        self._patience = PATIENCE
        self._environment = _Environment(today)
        try:
            self._template = self._environment.compiled(source)
        except (jinja2.TemplateError, RecursionError) as error:
            reason = ascii_safe(str(error).splitlines()[0] if str(error) else "too deeply nested")
            line = getattr(error, "lineno", None)
            place = f"{name}, line {line}" if line else name
            raise TemplateError(
                f"chat template {place}: {reason}. Correct the template."
            ) from error

    @contextmanager
    def marking(self, brackets: tuple[str, str], dump: Callable[..., str]) -> Iterator[None]:
        """Within it, ``generation`` puts brackets around its text, and ``tojson`` is ``dump``."""
        environment = self._environment
        environment.brackets, environment.dump = brackets, dump
        try:
            yield
        finally:
            environment.brackets, environment.dump = ("", ""), _dump

    def render(
        self,
        messages: list[dict[str, Any]],
        tools: list[Any] | None,
        *,
        size: int,
        add_generation_prompt: bool = False,
    ) -> str:
        """The text of a conversation; ``size`` is about how long its contents are."""
        values = {
            **self._variables,
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        limited = _start_clock(SECONDS)
        try:
            return self._joined(values, OUTPUT_FACTOR * size + OUTPUT_SPARE)
        except (TemplateError, RecordError):
            raise
        except _TimeOut as error:
            self._expired += 1
            if self._expired >= PATIENCE:
                raise TemplateError(
                    f"chat template {ascii_safe(self._name)} did not come to an end with "
                    f"{PATIENCE} records, within {SECONDS:.0f} seconds each. Correct the template."
                ) from error
            reason = f"{self._name} did not end within {SECONDS:.0f} seconds"
            self._patience -= 1
            if not self._patience:
                raise TemplateError(
                    f"chat template {reason}, and did so {PATIENCE} times. Correct the template."
                ) from error
            raise _error("template_limit", reason) from error
        except _Refused as error:
            raise _error("template_refused", f"{self._name} refuses it: {error}") from error
        except MemoryError as error:
            raise _error("template_limit", f"{self._name} asks for too much memory") from error
        except Exception as error:
            # A template can fail in any way that Python expressions can.
            reason = f"{type(error).__name__}: {error}"
            raise _error("template_failed", f"{self._name} fails: {reason}") from error
        finally:
            if limited:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _joined(self, values: dict[str, Any], limit: int) -> str:
        parts: list[str] = []
        template = self._template
        for part in template.root_render_func(template.new_context(values)):
            parts.append(part)
            limit -= len(part)
            if limit < 0:
                raise _error("template_limit", f"{self._name} writes without end")
        return "".join(parts)


def _error(reason: str, what: str) -> RecordError:
    problem = f"chat template {ascii_safe(what)[:300].rstrip('.')}"
    return RecordError(reason, problem, "Correct the template or the record")


def _start_clock(seconds: float) -> bool:
    """Interrupt Python code after a while, where signals can: in a process's main thread."""
    global _clock_is_ours  # noqa: PLW0603 - so is the process's alarm
    if threading.current_thread() is not threading.main_thread():
        return False
    if not _clock_is_ours:
        signal.signal(signal.SIGALRM, _expire)
        _clock_is_ours = True
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return True


_clock_is_ours = False


def _expire(_signal: int, _frame: FrameType | None) -> None:
    raise _TimeOut
