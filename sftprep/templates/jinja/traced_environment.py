"""Jinja's environment for templates whose texts remember where they come from.

In     a template, and a record that ``Tracer.traced`` copied.
Out    what ``Environment`` gives, as a ``TracedText``.
Keeps  the value of every expression. Only the provenance is added: where Jinja or Python would
       return a plain ``str`` for a computation on traced texts, the result is traced too.
Raises jinja2.TemplateError: the template turns on autoescaping, or it writes an object of Python
       (a generator, a method), of which the text holds an address in memory.
"""

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

from sftprep.templates.jinja.main_loop import (
    MainLoop,
    main_loops,
    may_break,
    names_read,
    simple_loops,
    tainted,
)
from sftprep.templates.jinja.message_loop import LOOP_ATTRIBUTES, MessageLoop
from sftprep.templates.jinja.prefixes import (
    CALCULATIONS,
    COMPARISONS,
    CONTAINERS,
    Ahead,
    Counter,
    Messages,
    TracedNamespace,
)
from sftprep.templates.jinja.sandbox import Environment
from sftprep.templates.jinja.traced_number import (
    is_traced_number,
    path_of,
    traced_number,
    untraced,
)
from sftprep.templates.jinja.traced_text import (
    Run,
    TracedText,
    concat,
    derived,
    formatted,
    is_traced,
    number_text,
    runs_of,
    traced_concat,
    traced_in,
)
from sftprep.templates.jinja.tracing import CLOSE, OPEN, Tracer

SCALARS = str | int | float | complex | range | None | jinja2.Undefined
SEQUENCES = (list, tuple, KeysView, ValuesView, ItemsView)
JINJA_ARGUMENTS = ("_loop_vars", "_block_vars")
"""Arguments that Jinja adds to calls."""
ASKS = "add_generation_prompt"
WRITES_NONE = ("capitalize", "lower", "replace", "title", "trim", "upper")
"""The filters that make the text ``None`` of None."""
PASSING_FILTERS = ("default", "d")
"""The filters that return what they are given, or something else that was given."""
SELECTING_FILTERS = ("select", "reject", "selectattr", "rejectattr", "map")
NUMBER_FILTERS = ("abs", "float", "int", "round")
"""The filters that calculate a number from one value."""
BOOLEAN_TESTS = ("boolean", "integer")
"""The tests of type that tell booleans from numbers."""
TYPE_TESTS = frozenset(
    ("defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number",
     "integer", "float", "boolean", "callable", "filter", "test")
)  # fmt: skip
"""The tests that give the same for all lists, and the same for all whole numbers."""


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

    def asks(self, value: Any) -> Any:
        """Ask whether the text is to end with the generation prompt."""
        return self._traced.tracer.prefixes.asks(value)

    def iterated(self, value: Any) -> Any:
        """Iterate over a value."""
        return self._traced.sequence(self._traced.tracer.prefixes.taken(value))

    def looped(
        self, value: Any, is_main: bool, is_simple: bool, breaks: bool, *read_later: Any
    ) -> Any:
        """Iterate over what may be messages."""
        names = (tuple(filter(None, text.split(","))) for text in read_later[1::2])
        read = tuple(zip(read_later[::2], names, strict=True))
        return self._traced.looped(
            value, is_main=is_main, is_simple=is_simple, may_break=breaks, read_later=read
        )

    def unpacked(self, value: Any) -> Any:
        """Unpack a value into variables."""
        return self._traced.sequence(self._traced.tracer.prefixes.taken(value))

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

    def enter(self, value: Any) -> None:
        """Enter the body of a loop with an item."""
        self._traced.tracer.enter(value)

    def end_loop(self, iterable: Any) -> None:
        """End a loop."""
        if isinstance(iterable, MessageLoop):
            iterable.finish()
        self._traced.tracer.end_loop()

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
        main: the template's main loops.
        simple: the loops that can be followed, see ``simple_loops``.
    """

    def __init__(
        self,
        hooks: _Hooks,
        names: set[str],
        main: Iterable[MainLoop],
        simple: set[jinja2.nodes.For],
    ) -> None:
        self._hooks = hooks
        self._names = names
        self._main = {id(loop.node): loop.read_later for loop in main}
        self._simple = {id(loop): may_break(loop) for loop in simple}

    def visit(self, node: jinja2.nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Replace the operations in a node."""
        if _tests_definition(node):
            return node
        self.generic_visit(node)
        return self._replaced(node)

    def _replaced(self, node: jinja2.nodes.Node) -> Any:
        """Return what stands for a node whose parts have been replaced."""
        if isinstance(node, jinja2.nodes.Name) and node.ctx == "load" and node.name == ASKS:
            return self._call("asks", node, line=node.lineno)
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
        self._change(node)
        return node

    def _change(self, node: jinja2.nodes.Node) -> None:
        """Replace what a statement assigns or writes."""
        if isinstance(node, jinja2.nodes.Assign):
            if isinstance(node.target, jinja2.nodes.Tuple):
                node.node = self._call("unpacked", node.node, line=node.lineno)
        elif isinstance(node, jinja2.nodes.Output):
            fixed = jinja2.nodes.TemplateData | jinja2.nodes.Const
            node.nodes = [
                part if isinstance(part, fixed) else self._call("written", part, line=part.lineno)
                for part in node.nodes
            ]

    def _loop(self, node: jinja2.nodes.For) -> list[jinja2.nodes.Node]:
        """Tell the hooks when a loop over messages begins and ends, and at which item it is."""
        line = node.lineno
        if not names_read(node.iter) & self._names:
            node.iter = self._call("iterated", node.iter, line=line)
            return [node]
        is_main = id(node) in self._main
        facts: list[Any] = [
            jinja2.nodes.Const(fact)
            for fact in (is_main, id(node) in self._simple, self._simple.get(id(node), True))
        ]
        for name, attributes in self._main.get(id(node), {}).items():
            read = jinja2.nodes.Name(name, "load").set_lineno(line)
            facts += [read, jinja2.nodes.Const(",".join(attributes))]
        iterable = f"_iterable_{id(node)}"
        stored, loaded = (jinja2.nodes.Name(iterable, ctx) for ctx in ("store", "load"))
        over = self._call("looped", node.iter, *facts, line=line)
        node.iter = loaded
        enter = self._call("enter", _loaded(node.target), line=line)
        node.body.insert(0, jinja2.nodes.ExprStmt(enter).set_lineno(line))
        ended = self._call("end_loop", loaded, line=line)
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
    """

    concat = staticmethod(concat)
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, today: date | None) -> None:
        super().__init__(today)
        self.tracer = Tracer()
        self.add_extension(_Hooks)
        self.globals["namespace"] = lambda *args, **kwargs: TracedNamespace(
            self.tracer.prefixes, *args, **kwargs
        )
        for name, function in self.filters.items():
            self.filters[name] = self._traced_filter(name, function)
        for name, function in self.tests.items():
            if name in BOOLEAN_TESTS:
                self.tests[name] = _type_test(cast(Callable[..., Any], function))
            elif name not in TYPE_TESTS:
                self.tests[name] = self._traced_test(cast(Callable[..., Any], function))

    def _parse(self, *arguments: Any) -> jinja2.nodes.Template:
        tree = super()._parse(*arguments)
        hooks = self.extensions[_Hooks.identifier]
        assert isinstance(hooks, _Hooks)
        names = tainted(tree)
        loops = main_loops(tree, names)
        self.main_loop_decides = bool(loops)
        hooking = _Hooking(hooks, names, loops, simple_loops(tree))
        hooked: jinja2.nodes.Template = hooking.visit(tree)
        hooked.set_environment(self)
        return hooked

    def generated(self, text: str) -> str:
        """Return the text of a ``generation`` body, with an empty run at its start and end."""
        opening, closing = (TracedText.of("", [Run(0, origin, 0)]) for origin in (OPEN, CLOSE))
        return str(concat((opening, text, closing)))

    def dump(self, value: Any, **options: Any) -> str:
        """Return the JSON of a value."""
        return self.tracer.dump(self.tracer.prefixes.taken(value), **options)

    def compared(self, name: str, left: Any, right: Any) -> Any:
        """Compare two values."""
        prefixes = self.tracer.prefixes
        if isinstance(left, Ahead | Counter) or isinstance(right, Ahead | Counter):
            return prefixes.compared(name, left, right)
        return COMPARISONS[name](prefixes.taken(left), prefixes.taken(right))

    def sequence(self, value: Any) -> Any:
        """Return what a template slices, iterates over or unpacks."""
        return value

    def sliced(self, value: Any, part: slice) -> Any:
        """Return a slice of a value."""
        prefixes = self.tracer.prefixes
        view = prefixes.view(value)
        bounds = (prefixes.taken(bound) for bound in (part.start, part.stop, part.step))
        if view is None or not prefixes.is_on:
            return self.sequence(prefixes.taken(value))[slice(*bounds)]
        self.sequence(value)
        return prefixes.sliced(view, slice(*bounds))

    def looped(
        self,
        value: Any,
        *,
        is_main: bool,
        is_simple: bool,
        may_break: bool,
        read_later: tuple[tuple[Any, tuple[str, ...]], ...],
    ) -> Any:
        """Return what a loop iterates over that may go through messages.

        Args:
            value: the value over which the template iterates.
            is_main: whether this is the template's main loop.
            is_simple: whether each step of the loop can be followed.
            may_break: whether the loop may be left early.
            read_later: as for ``MessageLoop``.
        """
        prefixes = self.tracer.prefixes
        value = self.sequence(value)
        view = prefixes.view(value)
        if view is None or not is_simple or not prefixes.is_on:
            return prefixes.taken(value)
        return MessageLoop(
            prefixes, view, is_main=is_main, may_break=may_break, read_later=read_later
        )

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute or item."""
        if self._is_of_loop(obj, attribute):
            return obj._iterable.attribute(attribute, self.undefined)
        prefixes = self.tracer.prefixes
        prefixes.look_into(obj)
        value = super().getattr(obj, attribute)
        if isinstance(obj, TracedNamespace):
            prefixes.note_read(obj, attribute, value)
        return value

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item or attribute."""
        if self._is_of_loop(obj, argument):
            return obj._iterable.attribute(argument, self.undefined)
        prefixes = self.tracer.prefixes
        if not prefixes.is_on:
            return super().getitem(obj, argument)
        argument = prefixes.taken(argument)
        view = prefixes.view(obj)
        if view is not None and prefixes.alone is None:
            prefixes.look_up(view, argument)
        elif view is not None:
            obj = prefixes.items(view)
        elif prefixes.is_hidden(obj):
            prefixes.spoil()
        prefixes.look_into(obj)
        value = super().getitem(obj, argument)
        if isinstance(obj, TracedNamespace):
            prefixes.note_read(obj, argument, value)
        return value

    @staticmethod
    def _is_of_loop(obj: Any, attribute: Any) -> bool:
        """Tell whether this is an attribute of the variable ``loop`` of a loop over messages."""
        return (
            isinstance(obj, jinja2.runtime.LoopContext)
            and isinstance(obj._iterable, MessageLoop)
            and isinstance(attribute, str)
            and attribute in LOOP_ATTRIBUTES
        )

    def written(self, value: Any) -> str:
        """Return a value as the template writes it."""
        value = self.tracer.prefixes.taken(value)
        if isinstance(value, str):
            return value
        _require_text_form(value)
        return self.tracer.written(value)

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """Calculate."""
        prefixes = self.tracer.prefixes
        depends = isinstance(left, Ahead | Counter) or isinstance(right, Ahead | Counter)
        if depends and operator in CALCULATIONS:
            return prefixes.calculated(operator, left, right)
        left, right = prefixes.taken(left), prefixes.taken(right)
        if operator == "%" and isinstance(left, str):
            _require_text_form(right)
            make = super().call_binop
            text = formatted(lambda values: make(context, "%", plain(left), values), left, right)
            values = right.values() if isinstance(right, dict) else right
            self._note_python(text, values if isinstance(right, dict | tuple) else [])
            self._note_python(text, [right])
            return text
        if operator in ("*", "**", "%"):
            result = super().call_binop(context, operator, left, right)
        else:
            result = self.binop_table[operator](left, right)
        return _as_number(result, (left, right))

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
            is_python = value is None or isinstance(value, CONTAINERS)
            if is_python and str(value) in plain(text):
                self.tracer.written(value)

    def call(self, context: jinja2.runtime.Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a function or a method."""
        owner = getattr(obj, "__self__", None)
        prefixes = self.tracer.prefixes
        if obj is self.globals["range"] and any(isinstance(arg, Ahead) for arg in args):
            return self._numbers(context, *args, **kwargs)
        if obj is self.globals.get("joiner"):
            prefixes.give_up()
        passes = isinstance(obj, jinja2.runtime.Macro) or isinstance(owner, _Hooks)
        if prefixes.is_on and not passes and obj is not self.globals["namespace"]:
            prefixes.see(owner)
            prefixes.look_into(owner)
            args = tuple(map(prefixes.taken, args))
            kwargs = {
                name: value if name in JINJA_ARGUMENTS else prefixes.taken(value)
                for name, value in kwargs.items()
            }
        if isinstance(owner, str) and (
            is_traced(owner) or obj.__name__ == "join" or next(traced_in(args), None) is not None
        ):
            text = owner if isinstance(owner, TracedText) else traced_concat((owner,))
            method = getattr(text, obj.__name__)
            result = super().call(context, method, *args, **kwargs)
            if isinstance(result, bytes) and prefixes.alone is None:
                self.tracer.encoded.append(text)
            return self._as_traced(result, (text, *args))
        result = super().call(context, obj, *args, **kwargs)
        if isinstance(owner, bytes):
            return self._as_traced(result, tuple(self.tracer.encoded))
        if obj is self.globals["strftime_now"]:
            return self._as_traced(result, args)
        return result

    def _numbers(self, context: jinja2.runtime.Context, *args: Any, **kwargs: Any) -> Any:
        """Return what ``range`` gives, of which an argument depends on the number of messages."""
        prefixes = self.tracer.prefixes
        start, stop = (0, *args) if len(args) == 1 else args[:2]
        is_view = len(args) < 3 and isinstance(stop, Ahead) and prefixes.alone is None
        numbers = self.globals["range"]
        if not is_view:
            return super().call(context, numbers, *map(prefixes.taken, args), **kwargs)
        start = prefixes.taken(start)
        super().call(context, numbers, start, int(stop))  # it refuses what is too long
        return prefixes.numbers_up_to(start, stop)

    def _traced_test(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            taken = self.tracer.prefixes.taken
            values = [_own_type(taken(value)) for value in args]
            return function(*values, **{k: _own_type(taken(v)) for k, v in kwargs.items()})

        return traced

    def _filtered(self, name: str, function: Callable[..., Any], args: list[Any]) -> Any:
        """Apply a filter to a list with an item for each message; NotImplemented: it looks ahead.

        Args:
            name: the name of the filter.
            function: the filter.
            args: its arguments, the list included.
        """
        prefixes = self.tracer.prefixes
        values = [value for value in args if not is_context(value)]
        view = prefixes.view(values[0])
        if view is not None and len(values) == 1:
            if name in ("length", "count"):
                return prefixes.length(view)
            if name == "list":
                return prefixes.copied(view)
            if name == "first" and not view.is_reversed and prefixes.alone is None:
                prefixes.look_up(view, 0)
                return function(*args)
        if prefixes.alone is None and (view is not None or prefixes.is_hidden(values[0])):
            if name in SELECTING_FILTERS:
                return prefixes.hide(function(*args))
            if name == "list":
                items = Messages(function(*args))
                items.prefixes = prefixes
                return prefixes.hide(items)
        return NotImplemented

    def _traced_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if name == "tojson":
            return function

        @wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            prefixes = self.tracer.prefixes
            if not prefixes.is_on or name in PASSING_FILTERS:
                return changed(*args, **kwargs)
            result = NotImplemented if kwargs else self._filtered(name, function, list(args))
            if result is NotImplemented:
                taken = prefixes.taken
                values = [arg if is_context(arg) else taken(arg) for arg in args]
                result = changed(*values, **{key: taken(arg) for key, arg in kwargs.items()})
                prefixes.note_made(result)
            return result

        def changed(*args: Any, **kwargs: Any) -> Any:
            # Jinja passes the context first to the filters that ask for it.
            value, *others = (value for value in args if not is_context(value))
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
                self.tracer.note_none(value)
            if name == "string":
                return self.written(value)
            sources = (value, *others, kwargs)
            if is_traced_number(value):
                sources += (number_text(value),)
            if isinstance(value, bytes):
                sources += tuple(self.tracer.encoded)
            result = function(*args, **kwargs)
            if name in NUMBER_FILTERS:
                result = _as_number(result, (value,))
            return self._as_traced(result, sources)

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


def _as_number(result: Any, sources: Iterable[Any]) -> Any:
    """Return the result of a calculation; a number knows the value of the record it comes from."""
    if type(result) not in (int, float):
        return result
    for source in sources:
        if is_traced_number(source):
            return traced_number(result, path_of(source))
        for run in runs_of(source) if is_traced(source) else ():
            if run.origin is not None and run.origin.path:
                return traced_number(result, run.origin.path)
    return result


def _own_type(value: Any) -> Any:
    """Return a traced number as the record has it, and any other value as it is."""
    return untraced(value) if is_traced_number(value) else value


def _type_test(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a test that takes traced numbers as the record has them."""

    @wraps(function)
    def tested(value: Any) -> Any:
        return function(_own_type(value))

    return tested


def _tests_definition(node: jinja2.nodes.Node) -> bool:
    """Tell whether a node only tests if a name is defined."""
    is_test = isinstance(node, jinja2.nodes.Test) and node.name in ("defined", "undefined")
    return is_test and isinstance(node.node, jinja2.nodes.Name)  # type: ignore[attr-defined]


def _require_text_form(value: Any) -> None:
    """Refuse an object of Python other than a value of JSON or a container of such values.

    Raises:
        jinja2.TemplateRuntimeError: the value is such an object, or contains one.
    """
    if isinstance(value, dict):
        for key, entry in value.items():
            _require_text_form(key)
            _require_text_form(entry)
    elif isinstance(value, SEQUENCES):
        for entry in value:
            _require_text_form(entry)
    elif not isinstance(value, SCALARS):
        raise jinja2.TemplateRuntimeError(
            f"it writes a {_kind(value)}, which is an object of Python and no text"
        )


def _kind(value: Any) -> str:
    """Return the name of a value's type, as the template's author knows it."""
    return "Namespace" if isinstance(value, TracedNamespace) else type(value).__name__


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
