"""Jinja's environment for templates whose texts remember where they come from.

In     a template, and a record that ``Tracer.traced`` copied.
Out    what ``Environment`` gives, as a ``TracedText``.
Keeps  the value of every expression. Only the provenance is added: where Jinja or Python would
       return a plain ``str`` for a computation on traced texts, the result is traced too.
"""

import operator
from collections.abc import Callable, Sequence
from datetime import date
from functools import wraps
from typing import Any, cast

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.runtime
import jinja2.visitor

from sftprep.templates.jinja.sandbox import Environment
from sftprep.templates.jinja.traced_text import (
    Run,
    TracedText,
    concat,
    derived,
    formatted,
    is_traced,
    traced_concat,
)
from sftprep.templates.jinja.tracing import CLOSE, OPEN, Tracer, traced_in

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

    def sequence(self, value: Any) -> Any:
        """Slice, iterate over or unpack a value."""
        return self._traced.sequence(value)

    def written(self, value: Any) -> str:
        """Write a value."""
        return self._traced.written(value)

    def concatenated(self, *values: Any) -> Any:
        """Concatenate values with ``~``."""
        return concat(map(self._traced.written, values))

    def begin_loop(self) -> None:
        """Begin a loop."""
        self._traced.tracer.begin_loop()

    def enter(self, value: Any) -> None:
        """Enter the body of a loop with an item."""
        self._traced.tracer.enter(value)

    def end_loop(self) -> None:
        """End a loop."""
        self._traced.tracer.end_loop()

    @property
    def _traced(self) -> "TracedEnvironment":
        environment = self.environment
        assert isinstance(environment, TracedEnvironment)
        return environment


class _Hooking(jinja2.visitor.NodeTransformer):
    """Replaces operations in a parsed template by calls of ``_Hooks``."""

    def __init__(self, hooks: _Hooks) -> None:
        self._hooks = hooks

    def visit(self, node: jinja2.nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Replace the operations in a node."""
        self.generic_visit(node)
        if isinstance(node, jinja2.nodes.Compare):
            arguments: list[Any] = [node.expr]
            for operand in node.ops:
                arguments += [jinja2.nodes.Const(operand.op), operand.expr]
            return self._hooks.call_method("compared", arguments).set_lineno(node.lineno)
        if isinstance(node, jinja2.nodes.Concat):
            return self._hooks.call_method("concatenated", list(node.nodes)).set_lineno(node.lineno)
        if isinstance(node, jinja2.nodes.Getitem) and isinstance(node.arg, jinja2.nodes.Slice):
            node.node = self._call("sequence", node.node)
        elif isinstance(node, jinja2.nodes.For):
            return self._loop(node)
        elif isinstance(node, jinja2.nodes.Assign):
            if isinstance(node.target, jinja2.nodes.Tuple):
                node.node = self._call("sequence", node.node)
        elif isinstance(node, jinja2.nodes.Output):
            fixed = jinja2.nodes.TemplateData | jinja2.nodes.Const
            node.nodes = [
                part if isinstance(part, fixed) else self._call("written", part)
                for part in node.nodes
            ]
        return node

    def _loop(self, node: jinja2.nodes.For) -> list[jinja2.nodes.Node]:
        """Tell the hooks when a loop begins and ends, and at which item it is."""
        node.iter = self._call("sequence", node.iter)
        node.body.insert(0, self._statement("enter", _loaded(node.target), node.lineno))
        return [
            self._statement("begin_loop", None, node.lineno),
            node,
            self._statement("end_loop", None, node.lineno),
        ]

    def _statement(
        self, name: str, value: jinja2.nodes.Expr | None, line: int
    ) -> jinja2.nodes.Node:
        arguments = [] if value is None else [value]
        call = self._hooks.call_method(name, arguments)
        return jinja2.nodes.ExprStmt(call).set_lineno(line)

    def _call(self, name: str, value: jinja2.nodes.Node) -> Any:
        return self._hooks.call_method(name, [cast(jinja2.nodes.Expr, value)]).set_lineno(
            value.lineno
        )


class TracedEnvironment(Environment):
    """The sandbox's environment, for traced texts.

    Args:
        today: as for ``Environment``.

    Attributes:
        tracer: of the record that is being rendered.
    """

    concat = staticmethod(concat)
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, today: date | None) -> None:
        super().__init__(today)
        self.tracer = Tracer()
        self.add_extension(_Hooks)
        for name, function in self.filters.items():
            self.filters[name] = self._traced_filter(name, function)

    def _parse(self, *arguments: Any) -> jinja2.nodes.Template:
        tree = super()._parse(*arguments)
        hooks = self.extensions[_Hooks.identifier]
        assert isinstance(hooks, _Hooks)
        hooked: jinja2.nodes.Template = _Hooking(hooks).visit(tree)
        hooked.set_environment(self)
        return hooked

    def generated(self, text: str) -> str:
        """Return the text of a ``generation`` body, with an empty run at its start and end."""
        opening, closing = (TracedText.of("", [Run(0, origin, 0)]) for origin in (OPEN, CLOSE))
        return str(concat((opening, text, closing)))

    def dump(self, value: Any, **options: Any) -> str:
        """Return the JSON of a value."""
        return self.tracer.dump(value, **options)

    def compared(self, name: str, left: Any, right: Any) -> Any:
        """Compare two values."""
        return COMPARISONS[name](left, right)

    def sequence(self, value: Any) -> Any:
        """Return what a template slices, iterates over or unpacks."""
        return value

    def written(self, value: Any) -> str:
        """Return a value as the template writes it."""
        return self.tracer.written(value)

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """Calculate."""
        if operator == "%" and isinstance(left, str) and any(traced_in((left, right))):
            make = super().call_binop
            return formatted(lambda values: make(context, "%", plain(left), values), left, right)
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
            if not any(True for _ in traced_in((form, args, kwargs))):
                return wrapped(*args, **kwargs)
            return formatted(
                lambda values: wrapped(*values[0], **values[1]), form, (args, dict(kwargs))
            )

        return traced_format

    def call(self, context: jinja2.runtime.Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a function or a method."""
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str) and (is_traced(owner) or next(traced_in(args), None) is not None):
            text = owner if isinstance(owner, TracedText) else traced_concat((owner,))
            method = getattr(text, obj.__name__)
            return self._as_traced(super().call(context, method, *args, **kwargs), (text, *args))
        return super().call(context, obj, *args, **kwargs)

    def _traced_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if name == "tojson":
            return function

        @wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            # Jinja passes the context first to the filters that ask for it.
            value, *others = (value for value in args if not is_context(value))
            if name == "join" and isinstance(value, list | tuple):
                return self._joined(value, *others, **kwargs)
            if name == "replace" and not kwargs and any(map(is_traced, (value, *others))):
                text = traced_concat((self.written(value),))
                old, new = map(self.written, others[:2])
                return text.replace(old, new, *others[2:])
            if name == "format" and isinstance(value, str):
                return formatted(
                    lambda values: str(function(value, *values[0], **values[1])),
                    value,
                    (tuple(others), kwargs),
                )
            if name == "string":
                return self.written(value)
            return self._as_traced(function(*args, **kwargs), (value, *others, kwargs))

        return traced

    def _joined(self, items: Sequence[Any], between: Any = "", attribute: Any = None) -> Any:
        """Join the items of a list, as Jinja's filter ``join`` does."""
        if attribute is not None:
            names = str(attribute).split(".")
            for name in names:
                items = [
                    self.getitem(item, int(name) if name.isdigit() else name) for item in items
                ]
        parts: list[str] = []
        for item in items:
            text = self.written(item)
            parts += [self.written(between), text] if parts else [text]
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
