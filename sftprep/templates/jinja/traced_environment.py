"""Jinja's environment for templates whose texts remember where they come from.

In     a template, and a record that ``Tracer.traced`` copied.
Out    what ``Environment`` gives, as a ``TracedText``.
Keeps  the value of every expression. Only the provenance is added: where Jinja or Python would
       return a plain ``str`` for a computation on traced texts, the result is traced too.
Raises jinja2.TemplateError: the template turns on autoescaping, or it writes an object of Python
       (a generator, a method), of which the text holds an address in memory.
"""

import operator
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, ValuesView
from datetime import date
from functools import wraps
from typing import Any, cast

import jinja2
import jinja2.ext
import jinja2.filters
import jinja2.nodes
import jinja2.runtime
import jinja2.visitor

from sftprep.templates.jinja.main_loop import main_loop, names_read, tainted
from sftprep.templates.jinja.sandbox import Environment
from sftprep.templates.jinja.traced_text import (
    Run,
    TracedText,
    concat,
    derived,
    formatted,
    is_traced,
    traced_concat,
    traced_in,
)
from sftprep.templates.jinja.tracing import CLOSE, OPEN, Tracer

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}
SCALARS = str | int | float | complex | range | None | jinja2.Undefined
CONTAINERS = (list, tuple, KeysView, ValuesView, ItemsView)


WRITES_NONE = ("capitalize", "lower", "replace", "title", "trim", "upper")
"""The filters that make the text ``None`` of None."""
LOOKS_AHEAD = ("last", "nextitem", "length", "revindex", "revindex0")
"""The attributes of ``loop`` that depend on later items."""


class _Hooks(jinja2.ext.Extension):
    """The operations that Jinja compiles to plain Python; ``_Hooking`` compiles them to calls."""

    def compared(self, left: Any, *operations: Any) -> Any:
        """Compare: ``left < right``, ``left in right``, or a chain of them."""
        result: Any = True
        for name, right in zip(operations[::2], operations[1::2], strict=True):
            result = self._traced.compared(name, left, right)
            if not result:
                break
            left = right
        return result

    def iterated(self, value: Any) -> Any:
        """Iterate over a value."""
        return self._traced.sequence(value)

    def unpacked(self, value: Any) -> Any:
        """Unpack a value into variables."""
        self._traced.tracer.sight.see_all_of(value)
        return self._traced.sequence(value)

    def sliced(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """Take a slice of a value."""
        return self._traced.sliced(value, slice(start, stop, step))

    def written(self, value: Any) -> str:
        """Write a value."""
        return self._traced.written(value)

    def concatenated(self, *values: Any) -> Any:
        """Concatenate values with ``~``."""
        return concat(map(self._traced.written, values))

    def begin_loop(self) -> None:
        """Begin a loop."""
        self._traced.tracer.begin_loop()

    def enter(self, value: Any, is_main: bool) -> None:
        """Enter the body of a loop with an item."""
        self._traced.tracer.enter(value, is_main=is_main)

    def end_loop(self, iterable: Any, is_main: bool) -> None:
        """End a loop."""
        self._traced.tracer.end_loop(iterable, is_main=is_main)

    @property
    def _traced(self) -> "TracedEnvironment":
        environment = self.environment
        assert isinstance(environment, TracedEnvironment)
        return environment


class _Hooking(jinja2.visitor.NodeTransformer):
    """Replaces operations in a parsed template by calls of ``_Hooks``.

    Args:
        hooks: the hooks.
        names: the names that may hold messages, see ``tainted``.
        main: the template's main loop; None if it has none.
    """

    def __init__(self, hooks: _Hooks, names: set[str], main: jinja2.nodes.For | None) -> None:
        self._hooks = hooks
        self._names = names
        self._main = main

    def visit(self, node: jinja2.nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Replace the operations in a node."""
        self.generic_visit(node)
        if isinstance(node, jinja2.nodes.EvalContextModifier):
            raise jinja2.TemplateSyntaxError("autoescape is not supported", node.lineno)
        if isinstance(node, jinja2.nodes.Compare):
            arguments: list[Any] = [node.expr]
            for operand in node.ops:
                arguments += [jinja2.nodes.Const(operand.op), operand.expr]
            return self._call("compared", *arguments, line=node.lineno)
        if isinstance(node, jinja2.nodes.Concat):
            return self._call("concatenated", *node.nodes, line=node.lineno)
        if isinstance(node, jinja2.nodes.Getitem) and isinstance(node.arg, jinja2.nodes.Slice):
            ends = (node.arg.start, node.arg.stop, node.arg.step)
            bounds = [jinja2.nodes.Const(None) if end is None else end for end in ends]
            return self._call("sliced", node.node, *bounds, line=node.lineno)
        if isinstance(node, jinja2.nodes.For):
            return self._loop(node)
        if isinstance(node, jinja2.nodes.Assign):
            if isinstance(node.target, jinja2.nodes.Tuple):
                node.node = self._call("unpacked", node.node, line=node.lineno)
        elif isinstance(node, jinja2.nodes.Output):
            fixed = jinja2.nodes.TemplateData | jinja2.nodes.Const
            node.nodes = [
                part if isinstance(part, fixed) else self._call("written", part, line=part.lineno)
                for part in node.nodes
            ]
        return node

    def _loop(self, node: jinja2.nodes.For) -> list[jinja2.nodes.Node]:
        """Tell the hooks when a loop over messages begins and ends, and at which item it is."""
        line = node.lineno
        if not names_read(node.iter) & self._names:
            node.iter = self._call("iterated", node.iter, line=line)
            return [node]
        is_main = jinja2.nodes.Const(node is self._main)
        iterable = f"_iterable_{id(node)}"
        stored, loaded = (jinja2.nodes.Name(iterable, ctx) for ctx in ("store", "load"))
        over = self._call("iterated", node.iter, line=line)
        node.iter = loaded
        enter = self._call("enter", _loaded(node.target), is_main, line=line)
        node.body.insert(0, jinja2.nodes.ExprStmt(enter).set_lineno(line))
        ended = self._call("end_loop", loaded, is_main, line=line)
        return [
            jinja2.nodes.ExprStmt(self._call("begin_loop", line=line)).set_lineno(line),
            jinja2.nodes.Assign(stored, over).set_lineno(line),
            node,
            jinja2.nodes.ExprStmt(ended).set_lineno(line),
        ]

    def _call(self, name: str, *values: jinja2.nodes.Node, line: int) -> Any:
        arguments = [cast(jinja2.nodes.Expr, value) for value in values]
        return self._hooks.call_method(name, arguments).set_lineno(line)


class TracedEnvironment(Environment):
    """The sandbox's environment, for traced texts.

    Args:
        today: as for ``Environment``.

    Attributes:
        tracer: of the record that is being rendered.
        main_loop_decides: whether the template has a main loop, see ``main_loop``.
    """

    concat = staticmethod(concat)
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, today: date | None) -> None:
        super().__init__(today)
        self.tracer = Tracer()
        self.main_loop_decides = False
        self.add_extension(_Hooks)
        for name, function in self.filters.items():
            self.filters[name] = self._traced_filter(name, function)

    def _parse(self, *arguments: Any) -> jinja2.nodes.Template:
        tree = super()._parse(*arguments)
        hooks = self.extensions[_Hooks.identifier]
        assert isinstance(hooks, _Hooks)
        names = tainted(tree)
        loop = main_loop(tree, names)
        self.main_loop_decides = loop is not None
        hooked: jinja2.nodes.Template = _Hooking(hooks, names, loop).visit(tree)
        hooked.set_environment(self)
        return hooked

    def generated(self, text: str) -> str:
        """Return the text of a ``generation`` body, with an empty run at its start and end."""
        opening, closing = (TracedText.of("", [Run(0, origin, 0)]) for origin in (OPEN, CLOSE))
        return str(concat((opening, text, closing)))

    def dump(self, value: Any, **options: Any) -> str:
        """Return the JSON of a value."""
        self.tracer.sight.see_all_of(value)
        return self.tracer.dump(value, **options)

    def compared(self, name: str, left: Any, right: Any) -> Any:
        """Compare two values."""
        self.tracer.sight.see_all_of(left, right)
        return COMPARISONS[name](left, right)

    def sequence(self, value: Any) -> Any:
        """Return what a template slices, iterates over or unpacks."""
        return value

    def sliced(self, value: Any, part: slice) -> Any:
        """Return a slice of a value."""
        sliced = self.sequence(value)[part]
        sight = self.tracer.sight
        first = sight.first(value)
        if first is None:
            return sliced
        start = 0 if part.start is None else part.start
        if part.stop is None and part.step in (None, 1) and isinstance(start, int) and start >= 0:
            sight.add(sliced, first + start)
            sight.see(first + start)
        else:
            sight.see_everything()
        return sliced

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute or item."""
        if isinstance(obj, jinja2.runtime.LoopContext) and attribute in LOOKS_AHEAD:
            self._look_ahead(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item or attribute."""
        if isinstance(obj, jinja2.runtime.LoopContext) and argument in LOOKS_AHEAD:
            self._look_ahead(obj, argument)
        first = self.tracer.sight.first(obj)
        if first is not None:
            if isinstance(argument, int) and argument >= 0:
                self.tracer.sight.see(first + argument)
            else:
                self.tracer.sight.see_everything()
        return super().getitem(obj, argument)

    def _look_ahead(self, loop: jinja2.runtime.LoopContext, attribute: str) -> None:
        """Note that a template asks for what follows in a loop."""
        sight = self.tracer.sight
        first = sight.first(loop._iterable)
        if first is not None and attribute in ("last", "nextitem"):
            sight.see(first + loop.index0 + 1)
        elif first is not None or not isinstance(loop._iterable, list):
            sight.see_everything()

    def written(self, value: Any) -> str:
        """Return a value as the template writes it."""
        self.tracer.sight.see_all_of(value)
        if isinstance(value, str):
            return value
        _require_text_form(value)
        return self.tracer.written(value)

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """Calculate."""
        self.tracer.sight.see_all_of(left, right)
        if operator == "%" and isinstance(left, str):
            _require_text_form(right)
            make = super().call_binop
            text = formatted(lambda values: make(context, "%", plain(left), values), left, right)
            values = right.values() if isinstance(right, dict) else right
            self._note_python(text, values if isinstance(right, dict | tuple) else [])
            self._note_python(text, [right])
            return text
        if operator in ("*", "**", "%"):
            return super().call_binop(context, operator, left, right)
        return self.binop_table[operator](left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return Jinja's version of ``str.format``, for traced texts."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        form = value.__self__

        def traced_format(*args: Any, **kwargs: Any) -> str:
            _require_text_form([args, kwargs])
            text = formatted(
                lambda values: wrapped(*values[0], **values[1]), form, (args, dict(kwargs))
            )
            self._note_python(text, [*args, *kwargs.values()])
            return text

        return traced_format

    def _note_python(self, text: str, values: Iterable[Any]) -> None:
        """Note which of the values of a format were written as Python writes them."""
        for value in values:
            is_python = value is None or isinstance(value, (dict, *CONTAINERS))
            if is_python and str(value) in plain(text):
                self.tracer.written(value)

    def call(self, context: jinja2.runtime.Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a function or a method."""
        owner = getattr(obj, "__self__", None)
        if not isinstance(obj, jinja2.runtime.Macro) and not isinstance(owner, _Hooks):
            self.tracer.sight.see_all_of(owner, *args, *kwargs.values())
        if isinstance(owner, str) and (
            is_traced(owner) or obj.__name__ == "join" or next(traced_in(args), None) is not None
        ):
            text = owner if isinstance(owner, TracedText) else traced_concat((owner,))
            method = getattr(text, obj.__name__)
            result = super().call(context, method, *args, **kwargs)
            if isinstance(result, bytes):
                self.tracer.encoded.append(text)
            return self._as_traced(result, (text, *args))
        result = super().call(context, obj, *args, **kwargs)
        if isinstance(owner, bytes):
            return self._as_traced(result, tuple(self.tracer.encoded))
        if obj is self.globals["strftime_now"]:
            return self._as_traced(result, args)
        return result

    def _traced_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if name == "tojson":
            return function

        @wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            # Jinja passes the context first to the filters that ask for it.
            value, *others = (value for value in args if not is_context(value))
            if name != "first":
                self.tracer.sight.see_all_of(value, *others, *kwargs.values())
            if name == "join":
                return self._joined(value, *others, **kwargs)
            if name == "urlencode" and isinstance(value, Iterator):
                value = list(value)
                return self._as_traced(function(value), (value,))
            if name == "replace" and not kwargs and any(map(is_traced, (value, *others))):
                text = traced_concat((self.written(value),))
                old, new, *count = others
                most = -1 if count in ([], [None]) else count[0]
                return text.replace(self.written(old), self.written(new), most)
            if name == "format" and isinstance(value, str):
                _require_text_form([others, kwargs])
                made = formatted(
                    lambda values: str(function(plain(value), *values[0], **values[1])),
                    value,
                    (tuple(others), kwargs),
                )
                self._note_python(made, [*others, *kwargs.values()])
                return made
            if value is None and name in (
                "trim",
                "replace",
                "upper",
                "lower",
                "title",
                "capitalize",
            ):
                self.tracer.nones += 1
            if name == "string":
                return self.written(value)
            sources = (value, *others, kwargs)
            if isinstance(value, bytes):
                sources += tuple(self.tracer.encoded)
            return self._as_traced(function(*args, **kwargs), sources)

        return traced

    def _joined(self, items: Iterable[Any], d: Any = "", attribute: Any = None) -> Any:
        """Join items as Jinja's filter ``join`` does; its arguments have these names."""
        if attribute is not None:
            items = map(jinja2.filters.make_attrgetter(self, attribute), items)
        parts: list[str] = []
        for item in items:
            text = self.written(item)
            parts += [self.written(d), text] if parts else [text]
        return concat(parts)

    def _as_traced(self, result: Any, sources: tuple[Any, ...]) -> Any:
        """Return the result of a computation as traced, if it is a text that is not."""
        if not isinstance(result, str) or is_traced(result):
            return result
        texts = list(traced_in(sources))
        same = [text for text in texts if text == result]
        if not texts:
            return result
        return same[0] if same else derived(plain(result), *texts)


def _require_text_form(value: Any) -> None:
    """Refuse an object of Python other than a value of JSON or a container of such values.

    Raises:
        jinja2.TemplateRuntimeError: the value is such an object, or contains one.
    """
    if isinstance(value, dict):
        for key, entry in value.items():
            _require_text_form(key)
            _require_text_form(entry)
    elif isinstance(value, CONTAINERS):
        for entry in value:
            _require_text_form(entry)
    elif not isinstance(value, SCALARS):
        raise jinja2.TemplateRuntimeError(
            f"it writes a {type(value).__name__}, which is an object of Python and no text"
        )


def plain(text: str) -> str:
    """Return a text without provenance."""
    return str.__str__(text)


def is_context(value: Any) -> bool:
    """Tell whether a value is what Jinja passes to filters that ask for their context."""
    return isinstance(value, jinja2.Environment | jinja2.runtime.Context | jinja2.nodes.EvalContext)


def _loaded(target: jinja2.nodes.Node) -> Any:
    """Return the expression that reads the variables that a loop sets."""
    if isinstance(target, jinja2.nodes.Name):
        return jinja2.nodes.Name(target.name, "load").set_lineno(target.lineno)
    assert isinstance(target, jinja2.nodes.Tuple)
    return jinja2.nodes.Tuple([_loaded(item) for item in target.items], "load")
