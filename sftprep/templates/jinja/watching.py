"""Render a neutral chat, and find out whether the template looks into its texts.

In     the source of a chat template, and a chat whose texts are placeholders (see ``neutral``).
Out    the same renderings that the sandbox gives; and what the template asked about the texts:
       ``Watch.questions``, with the answers for the record at hand.
Keeps  the proof that a skeleton may be reused. The template's decisions depend on the neutral chat
       and on the answers only. So every record with the same neutral chat and the same answers is
       rendered by the same steps.
Never  lets the template look into a text in any other way: then ``Watch.inspected`` is set.

A template may write a text, concatenate it, trim white space from it, pass it on, and ask whether
it is empty. It may ask whether a text holds, starts with, ends with or equals a literal, and split
a text at a literal. Any other operation on a text counts as looking into it.

The result of each of these operations on a text of any such record is the result on the neutral
text, with the record's texts in place of the placeholders. So the skeleton, filled with the
record's texts, is what the template writes, and no record needs to be rendered to know it. A few
operations are not watched: those which make text that is escaped when it is joined to other text,
make keys of an object from texts, or divide a text into variables. If a template has them,
``Watch.is_certain`` is False, and each record must be rendered.
"""

import operator
from collections.abc import Callable, Sequence
from datetime import date
from functools import wraps
from typing import Any, NamedTuple, cast

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.runtime

from sftprep.templates.jinja.neutral import PRIVATE, OpaqueDict, OpaqueList, filled_in
from sftprep.templates.jinja.prefixes import COMPARISONS
from sftprep.templates.jinja.traced_environment import (
    JINJA_ARGUMENTS,
    TracedEnvironment,
    is_context,
)
from sftprep.templates.jinja.traced_text import traced_in, whole

TESTS_AS_COMPARISONS = {
    "eq": "eq", "==": "eq", "equalto": "eq", "ne": "ne", "!=": "ne", "in": "in",
}  # fmt: skip
TYPE_TESTS = frozenset(
    ("defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number",
     "integer", "float", "boolean", "true", "false", "callable", "filter", "test")
)  # fmt: skip
TRIMS = ("strip", "lstrip", "rstrip")
SPLITS = ("split", "rsplit", "partition", "rpartition")
ITEM_FILTERS = frozenset(
    ("length", "count", "first", "last", "list", "items", "select", "reject", "selectattr",
     "rejectattr", "map")
)  # fmt: skip
"""Filters that take the items of a list as they are. They pass tests and filters on to the
environment, which watches them too."""

ANSWERS: dict[str, Callable[[str, str], bool | int]] = {
    "in": operator.contains,
    "eq": operator.eq,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "count": str.count,
}
PAIRS = ("items", "dictsort")
"""What gives the keys and values of an object, when a template calls it or uses it as a filter."""


class Question(NamedTuple):
    """What a template asked about a text."""

    text: str  # with placeholders
    about: str  # a key of ``ANSWERS``; or one of ``SPLITS``, for whether that divides the text of
    # the record in just the places in which it divides the text with placeholders
    literal: str

    def answer(self, texts: Sequence[str]) -> bool | int | None:
        """Return the answer for a record with these texts; None if the text is not known."""
        text = filled_in(self.text, texts)
        if text is None:
            return None
        if self.about in ANSWERS:
            return ANSWERS[self.about](text, self.literal)
        divided = getattr(self.text, self.about)(self.literal)
        found = list(getattr(text, self.about)(self.literal))
        return found == [filled_in(part, texts) for part in divided]


class InspectedError(Exception):
    """The template looks into a text."""


class Watch:
    """What a template asked about the texts of one record.

    Attributes:
        sees_all: whether the template has no operations that are not watched.
        is_certain: the same, for those that it has done with the texts of this record.
        inspected: whether it has looked into a text in a way for which there is no question.
        questions: what it asked, with the answers.
    """

    def __init__(self) -> None:
        self.sees_all = True
        self.begin([])

    def begin(self, texts: Sequence[str]) -> None:
        """Forget the record before.

        Args:
            texts: what the placeholders stand for.
        """
        self.inspected = False
        self.is_certain = self.sees_all
        self.questions: dict[Question, bool | int] = {}
        self._texts = texts

    def ask(self, text: str, about: str, literal: Any) -> bool | int:
        """Answer a question about a text of the record, and remember it."""
        if not isinstance(literal, str) or PRIVATE.search(literal):
            raise self.inspection()
        question = Question(str.__str__(text), about, str.__str__(literal))
        answer = question.answer(self._texts)
        if answer is None:
            raise self.inspection()
        if PRIVATE.search(question.text):
            self.questions[question] = answer
        return answer

    def inspection(self) -> InspectedError:
        """Note that the template looks into a text; return the error that stops it."""
        self.inspected = True
        return InspectedError()


class WatchedEnvironment(TracedEnvironment):
    """The traced environment, with every operation on texts of the record watched.

    Args:
        today: as for ``Environment``.
        watch: receives the questions.
    """

    def __init__(self, today: date | None, watch: Watch) -> None:
        self.watch = watch
        super().__init__(today)
        self._trusted = (dict, self.globals["namespace"], self.globals["raise_exception"])
        for name, function in self.filters.items():
            self.filters[name] = self._noting_markup(self._watched_filter(name, function))
        for name, function in self.tests.items():
            if name not in TYPE_TESTS:
                self.tests[name] = self._watched_test(name, cast(Callable[..., Any], function))

    def _parse(self, *arguments: Any) -> jinja2.nodes.Template:
        self.watch.sees_all = not _has_unwatched(super(TracedEnvironment, self)._parse(*arguments))
        return super()._parse(*arguments)

    def sequence(self, value: Any) -> Any:
        """Return what a template slices, iterates over or unpacks."""
        if _is_text(value) or isinstance(value, OpaqueDict | OpaqueList):
            raise self.watch.inspection()
        return value

    def written(self, value: Any) -> str:
        """Return a value as the template writes it."""
        if not isinstance(value, str) and self._has_text(value):
            raise self.watch.inspection()
        return super().written(value)

    def dump(self, value: Any, **options: Any) -> str:
        """Return the JSON of a value, hidden if it contains texts of the record."""
        parts = [text for text in traced_in(value) if _is_text(text)]
        origins = [whole(part) for part in parts]
        if any(origin is None or origin.options is not None for origin in origins):
            raise self.watch.inspection()
        is_whole = self.tracer.holds(value)
        if options.get("indent") is not None and parts and not is_whole:
            raise self.watch.inspection()
        if options.get("sort_keys") and parts and not is_whole:
            self.watch.is_certain = False
        return super().dump(value, **options)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute or item."""
        if isinstance(obj, OpaqueDict | OpaqueList):
            raise self.watch.inspection()
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item or attribute."""
        is_opaque = isinstance(obj, OpaqueDict | OpaqueList)
        if (
            is_opaque
            or self._has_text(argument)
            or (_is_text(obj) and not isinstance(argument, str))
        ):
            raise self.watch.inspection()
        return super().getitem(obj, argument)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return Jinja's version of ``str.format``."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None and _is_text(value.__self__):
            raise self.watch.inspection()
        return wrapped

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """Add; or calculate with what is not a text."""
        if operator != "+" and (self._has_text(left) or self._has_text(right)):
            raise self.watch.inspection()
        return super().call_binop(context, operator, left, right)

    def call(self, context: jinja2.runtime.Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a function or a method."""
        owner = getattr(obj, "__self__", None)
        given = {k: v for k, v in kwargs.items() if k not in JINJA_ARGUMENTS}
        if isinstance(owner, str) and _is_text(owner):
            return self._method(obj.__name__, owner, args, given)
        is_own = isinstance(obj, jinja2.runtime.Macro) or isinstance(owner, jinja2.ext.Extension)
        if not is_own and not any(obj is trusted for trusted in self._trusted):
            values = (*args, *given.values())
            if isinstance(owner, OpaqueDict | OpaqueList) or any(map(self._has_text, values)):
                raise self.watch.inspection()
        if obj is dict and args:
            self.watch.is_certain = False
        return super().call(context, obj, *args, **kwargs)

    def compared(self, name: str, left: Any, right: Any) -> Any:
        """Compare two values."""
        compare = COMPARISONS[name]
        if not self._has_text(left) and not self._has_text(right):
            return super().compared(name, left, right)
        if name in ("eq", "ne"):
            if not _is_text(left):
                left, right = right, left
            if _is_text(left):
                # A text with a placeholder is not empty, and no text equals another kind of value.
                if not isinstance(right, str) or not right:
                    return compare(left, right)
                equal = bool(self.watch.ask(left, "eq", right))
                return equal if name == "eq" else not equal
            if not left or not right:  # what contains a text is not empty
                return compare(left, right)
        if name in ("in", "notin") and not self._has_text(left):
            if _is_text(right):
                found = bool(self.watch.ask(right, "in", left))
                return found if name == "in" else not found
            if isinstance(right, dict) and not isinstance(right, OpaqueDict):
                return compare(left, right)
        raise self.watch.inspection()

    def _has_text(self, value: Any) -> bool:
        """Tell whether a value could hold a text of the record."""
        if isinstance(value, str):
            return PRIVATE.search(value) is not None
        if isinstance(value, dict | list | tuple):
            # What the record holds may be large; it counts as a text without a search.
            if isinstance(value, OpaqueDict | OpaqueList) or self.tracer.holds(value):
                return True
            entries = (*value, *value.values()) if isinstance(value, dict) else value
            return any(map(self._has_text, entries))
        known = int | float | jinja2.Undefined | jinja2.runtime.Macro
        return value is not None and not isinstance(value, known)

    def _method(self, name: str, text: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method of a text."""
        first = args[0] if args else None
        if kwargs:
            raise self.watch.inspection()
        if name in TRIMS and len(args) < 2 and _is_white_space(first):
            return getattr(text, name)(*args)
        if name in ("startswith", "endswith", "count") and len(args) == 1:
            return self.watch.ask(text, name, first)
        divides = name in SPLITS and isinstance(first, str) and first
        if divides and self.watch.ask(text, name, first):
            return getattr(text, name)(*args)
        if name == "replace" and len(args) == 2 and not self.watch.ask(text, "in", first):
            return text
        raise self.watch.inspection()

    def _watched_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            # Jinja passes the context first to the filters that ask for it.
            value, *others = [value for value in args if not is_context(value)]
            if not any(map(self._has_text, (value, *others, *kwargs.values()))):
                return function(*args, **kwargs)
            if name in ("default", "d"):
                return function(*args, **kwargs)
            if any(map(self._has_text, (*others, *kwargs.values()))):
                raise self.watch.inspection()
            if name == "tojson" and not kwargs.get("ensure_ascii") and not any(others[:1]):
                return function(*args, **kwargs)
            if isinstance(value, str) and not kwargs:
                return self._text_filter(name, value, others)
            if name in ITEM_FILTERS and not isinstance(value, str | OpaqueDict | OpaqueList):
                return function(*args, **kwargs)
            if name == "join" and len(others) < 2 and not kwargs:
                items = [] if isinstance(value, OpaqueDict | OpaqueList) else list(value)
                if items and all(isinstance(item, str) for item in items):
                    return function(*(items if arg is value else arg for arg in args))
            raise self.watch.inspection()

        return watched

    def _noting_markup(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def noting(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if hasattr(result, "__html__"):
                self.watch.is_certain = False
            return result

        return noting

    def _text_filter(self, name: str, text: str, others: Sequence[Any]) -> Any:
        """Apply a filter to a text."""
        methods = {"trim": "strip", "replace": "replace"}
        if name in methods:
            return self._method(methods[name], text, tuple(others), {})
        if name == "string":
            return text
        raise self.watch.inspection()

    def _watched_test(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            given = [value for value in args if not is_context(value)]
            if not any(map(self._has_text, (*given, *kwargs.values()))):
                return function(*args, **kwargs)
            if name in TESTS_AS_COMPARISONS and len(given) == 2 and not kwargs:
                return self.compared(TESTS_AS_COMPARISONS[name], *given)
            raise self.watch.inspection()

        return watched


def _has_unwatched(tree: jinja2.nodes.Template) -> bool:
    """Tell whether a template may make keys of texts, or divide texts into variables or arguments.

    Args:
        tree: the template.
    """
    names = (key for made in tree.find_all(jinja2.nodes.Dict) for key in made.items)
    if any(not isinstance(pair.key, jinja2.nodes.Const) for pair in names):
        return True
    calls = (jinja2.nodes.Call, jinja2.nodes.Filter, jinja2.nodes.Test)
    if any(call.dyn_args is not None for call in tree.find_all(calls)):  # type: ignore[attr-defined]
        return True
    loops = (loop for loop in tree.find_all(jinja2.nodes.For) if not _has_one_target(loop))
    return any(not _gives_pairs(loop.iter) for loop in loops)


def _has_one_target(loop: jinja2.nodes.For) -> bool:
    return isinstance(loop.target, jinja2.nodes.Name)


def _gives_pairs(node: jinja2.nodes.Node) -> bool:
    """Tell whether an expression gives the keys and values of an object."""
    if isinstance(node, jinja2.nodes.Filter):
        return node.name in PAIRS
    is_method = isinstance(node, jinja2.nodes.Call) and isinstance(node.node, jinja2.nodes.Getattr)
    return is_method and node.node.attr in PAIRS  # type: ignore[attr-defined]


def _is_text(value: Any) -> bool:
    """Tell whether a value is a text of the record, or contains one."""
    return isinstance(value, str) and PRIVATE.search(value) is not None


def _is_white_space(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
