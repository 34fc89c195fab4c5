"""Prove what a template writes for the beginnings of a conversation, while it writes the whole.

In     what the template does with the messages, as its environment tells.
Out    ``Prefixes.beginnings``: for a message, the text that the template writes for the messages
       before it, up to the end of its main loop; and the values that what follows the loop reads.
Keeps  the proof that this is what a rendering of these messages alone gives.
Never  guesses: a beginning that is not proven is not among them, and must be rendered.

The first p messages alone are the *prefix* p. Its rendering is *together* with that of the whole
conversation as long as both have done the same steps and written the same text, and all values are
the same in both, with two exceptions that are known: lists of messages, which end earlier in the
prefix, and numbers that depend on how many messages there are (``Ahead``), which are known for
each prefix. When the template looks at one of them, the prefixes for which it sees something else
part from the whole. Some prefixes go on alone: for them the template writes a turn once more, with
what it sees there.

- Loops over the messages, in their order: prefix p leaves before message p, and waits until the
  whole has left the loop. What the loop sets is then known for each prefix.
- Loops in the reverse order, as in a search for the last question: each prefix goes alone, until no
  further step does anything. That is certain if a step does nothing and looks at nothing that
  changes from step to step. Steps are left out in which an earlier prefix did nothing, if it read
  the same in the namespaces.
- In the main loop, prefix p is complete when the loop comes to message p. If it parted shortly
  before, it goes alone from the turn in which it parted.
"""

import operator
from collections.abc import Callable, Hashable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

import jinja2
import numpy as np
import numpy.typing as npt
from jinja2.utils import Namespace

from sftprep.templates.jinja.traced_number import TracedBool

CONTAINERS = (dict, list, tuple, KeysView, ValuesView, ItemsView)
LARGEST = 1 << 31
"""Numbers beyond this are not calculated for each prefix."""
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
CALCULATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
MISSING = object()

Numbers = npt.NDArray[np.int64]


class Beginning(NamedTuple):
    """What the template writes for the first messages, up to the end of its main loop."""

    position: int  # so many characters are those of the whole conversation
    more: str  # what follows them
    state: Hashable  # the values that the template reads after the loop


class Ahead(int):
    """A number that depends on how many messages there are.

    Attributes:
        of: the number for each prefix.
        prefixes: decide what becomes of the prefixes when the template looks at the number.
    """

    of: Numbers
    prefixes: "Prefixes"

    @classmethod
    def build(cls, value: int, of: Numbers, prefixes: "Prefixes") -> "Ahead":
        """Build from the number for the whole conversation and those for the prefixes."""
        made = cls(value)
        made.of, made.prefixes = of, prefixes
        return made

    def __bool__(self) -> bool:
        return self.prefixes.decide(self.of != 0, int(self) != 0)

    def __neg__(self) -> Any:
        return self.prefixes.calculated("-", 0, self)

    def __hash__(self) -> int:
        self.prefixes.see(self)
        return int.__hash__(self)


class Counter(int):
    """A number that changes from step to step of a reversed loop, in which a prefix goes alone."""

    prefixes: "Prefixes"

    @classmethod
    def build(cls, value: int, prefixes: "Prefixes") -> "Counter":
        """Build from the number at this step."""
        made = cls(value)
        made.prefixes = prefixes
        return made

    def __bool__(self) -> bool:
        return bool(self.prefixes.taken(self))

    def __neg__(self) -> Any:
        return self.prefixes.calculated("-", 0, self)

    def __hash__(self) -> int:
        return hash(self.prefixes.taken(self))


class View(NamedTuple):
    """A list with an item for each message from ``first`` on."""

    items: list[Any]
    first: int
    is_reversed: bool = False


class Messages(list[Any]):
    """A list of which a template may ask natively if it is empty."""

    prefixes: "Prefixes"

    def __bool__(self) -> bool:
        return self.prefixes.is_filled(self)


class TracedNamespace(Namespace):
    """A namespace of a template; it tells what is set in it."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        # The template chooses the names of the arguments, so this must have none of its own.
        self, prefixes, *rest = args
        Namespace.__init__(self, *rest, **kwargs)
        values = values_of(self)
        values.update({name: _as_set(value) for name, value in values.items()})
        object.__setattr__(self, "_prefixes", prefixes)
        object.__setattr__(self, "_number", prefixes.add_namespace(self))

    def __setitem__(self, name: str, value: Any) -> None:
        prefixes: Prefixes = object.__getattribute__(self, "_prefixes")
        value = prefixes.note_set(self, name, _as_set(value))
        super().__setitem__(name, value)


def _as_set(value: Any) -> Any:
    """Return a value as a namespace holds it: a boolean is no number there."""
    return bool(value) if isinstance(value, TracedBool) else value


def number_of(namespace: TracedNamespace) -> int:
    """Return how many namespaces the template had made before this one."""
    made: int = object.__getattribute__(namespace, "_number")
    return made


def values_of(namespace: Namespace) -> dict[str, Any]:
    """Return the values in a namespace, by name."""
    values: dict[str, Any] = object.__getattribute__(namespace, "_Namespace__attrs")
    return values


State = list[tuple[TracedNamespace, dict[str, Any]]]
Reads = dict[tuple[int, str], Hashable]
"""What is read in namespaces: the number of the namespace and the name -> the value."""


class Notes(Protocol):
    """A loop that notes what is set in it."""

    def note_set(self, namespace: TracedNamespace, name: str, value: Any, before: Any) -> None:
        """Note that the template sets a value in a namespace that held another one before."""


class Prefixes:
    """The prefixes of one conversation, while the template writes it.

    Args:
        record: the ids of the objects and lists of the record, as the keys of a dict.
        wanted: the messages before which a prefix ends that is worth to be proven.
        count: the number of messages.
        is_on: False: nothing is proven.
    """

    def __init__(
        self,
        record: Mapping[int, Any],
        wanted: tuple[int, ...] = (),
        count: int = 0,
        *,
        is_on: bool = False,
    ) -> None:
        self.is_on = is_on
        self.count = count
        self.wanted = [p for p in wanted if 0 < p < count]
        self.position = 0  # how many characters of the whole have been written
        self.beginnings: dict[int, Beginning] = {}
        self.alone: int | None = None  # the prefix that goes alone now
        self.were_alone = False  # whether any has gone alone
        self.depends_on_asking = False  # whether the beginnings hold for prompts only
        self._record = record
        self.together = np.ones(count + 1, dtype=bool)
        self.floor = 0  # prefixes up to this one wait, or are complete
        self.numbers = np.arange(count + 1)
        self._views: dict[int, View] = {}
        self._hidden: dict[int, Any] = {}  # by id: values that may differ, at which nobody looked
        self._namespaces: WeakSet[TracedNamespace] = WeakSet()
        self.made = 0  # how many namespaces
        self.loops: list[Notes] = []  # those that note what is set
        self.is_in_turn = False
        self.is_over = False  # nothing more can be proven
        self._keeps_views = False  # whether a list of a turn may live longer than the turn
        # Of the prefix that goes alone:
        self._is_spoiled = False  # it did what cannot be followed
        self.is_changed = False  # it did something in this step
        self._has_looked = False  # it looked at the record in this step
        self._is_own = False  # it looked at what other prefixes may not have
        self._reads: Reads = {}  # in this step
        self.is_counting = False  # whether numbers that depend on the step are ``Counter``
        self._texts: list[str] = []
        self._made_alone: dict[int, Iterator[Any]] = {}  # by id
        self._kept: dict[int, list[Any]] = {}  # id of a list of messages -> what it has of them
        self._restore: State = []
        self.turns_alone = 0

    # --- what differs ---------------------------------------------------------------------------

    def add_messages(self, messages: list[Any], first: int = 0) -> None:
        """Note that a list holds the messages from ``first`` on."""
        self._views[id(messages)] = View(messages, first)

    def view(self, value: Any) -> View | None:
        """Return the view that a value is; None for other values."""
        return self._views.get(id(value))

    def part(self, which: npt.NDArray[np.bool_] | None = None) -> None:
        """Let prefixes part from the whole: they do, or see, something else.

        Args:
            which: for each prefix, whether it parts; by default, all do.
        """
        start = self.floor + 1
        if which is None:
            self.together[start:] = False
        else:
            self.together[start:] &= ~which[start:]

    def decide(self, outcomes: npt.NDArray[np.bool_], outcome: bool) -> bool:
        """Return what the template decides; prefixes that decide otherwise part.

        Args:
            outcomes: for each prefix.
            outcome: for the whole.
        """
        if self.alone is not None:
            self._is_own = True
            return bool(outcomes[self.alone])
        self.part(outcomes != outcome)
        return outcome

    def ahead(self, value: int, of: Numbers) -> int:
        """Return a number that is ``value`` for the whole, and ``of`` for the prefixes."""
        if self.alone is None:
            return Ahead.build(value, of, self)
        number = int(of[self.alone])
        return Counter.build(number, self) if self.is_counting else number

    def length(self, view: View) -> int:
        """Return how many items a view has."""
        return self.ahead(len(view.items), np.maximum(self.numbers - view.first, 0))

    def is_filled(self, items: list[Any]) -> bool:
        """Tell whether a list has items, which the template asks without a call."""
        view = self.view(items)
        if view is None:
            self.see(items)
            return len(items) > 0
        return self.decide(self.numbers > view.first, len(items) > 0)

    def hide(self, value: Any) -> Any:
        """Note that a value may be another one for prefixes; return it.

        They part when the template looks at it. A list must be of the type ``Messages``.
        """
        if self.alone is not None:
            self._is_spoiled = self._is_own = True
        self._hidden[id(value)] = value
        return value

    def is_hidden(self, value: Any) -> bool:
        """Tell whether a value is one that ``hide`` got."""
        return id(value) in self._hidden

    def spoil(self) -> None:
        """Note that the template looks at what cannot be followed for each prefix."""
        if self.alone is not None:
            self._is_spoiled = self._is_own = True
        else:
            self.part()

    def see(self, *values: Any) -> None:
        """Note that the template looks at all of these values, and at what they contain."""
        if not self.is_on:
            return
        for value in values:
            if isinstance(value, Ahead | Counter):
                if self.alone is not None:
                    self._is_spoiled = self._is_own = True
                else:
                    self.taken(value)
            elif isinstance(value, CONTAINERS) or id(value) in self._hidden:
                self._see_container(value)
            elif isinstance(value, Namespace):
                self.is_changed = True

    def _see_container(self, value: Any) -> None:
        if id(value) in self._views or id(value) in self._hidden:
            self.spoil()
        elif id(value) in self._record:
            self._has_looked = True
        elif isinstance(value, dict):
            self.see(*value, *value.values())
        else:
            self.see(*value)

    def taken(self, value: Any) -> Any:
        """Return the value that the template takes for an operation on it."""
        if not self.is_on:
            return value
        if isinstance(value, Ahead):
            if self.alone is None:
                self.part(value.of != int(value))
            return int(self._number(value))
        if isinstance(value, Counter):
            self.is_changed = True
            return int(value)
        if self.alone is not None and id(value) in self._views:
            self._is_own = True
            return self.items(self._views[id(value)])
        if isinstance(value, Iterator) and self.alone is not None:
            self._require_own(value)
        self.see(value)
        return value

    def _require_own(self, value: Iterator[Any]) -> None:
        """Stop the rendering if a prefix takes items that the whole would miss."""
        if id(value) not in self._made_alone:
            raise jinja2.TemplateRuntimeError("an iterator is used up")

    def note_made(self, value: Any) -> None:
        """Note a value that a filter returned."""
        if self.alone is not None and isinstance(value, Iterator):
            self._made_alone[id(value)] = value

    def items(self, view: View) -> list[Any]:
        """Return the items of a view, for the prefix that goes alone if one does."""
        if self.alone is None:
            return view.items
        self._is_own = True
        kept = self._kept.get(id(view.items))
        if kept is None:
            keeps = max(self.alone - view.first, 0)
            begin = max(len(view.items) - keeps, 0) if view.is_reversed else 0
            kept = self._kept[id(view.items)] = view.items[begin : begin + keeps]
        return kept

    def look_into(self, value: Any) -> None:
        """Note that the template reads what stands in an object or list."""
        if id(value) in self._record:
            self._has_looked = True

    def note_read(self, namespace: TracedNamespace, name: str, value: Any) -> None:
        """Note that the template reads a value in a namespace."""
        if self.is_counting:
            key = key_of(value, 0)
            self._is_own |= key is None
            self._reads.setdefault((number_of(namespace), name), key)

    # --- numbers --------------------------------------------------------------------------------

    def calculated(self, name: str, left: Any, right: Any) -> Any:
        """Return the result of ``+``, ``-`` or ``*``, one of whose operands is a number ahead."""
        left, right = self._number(left), self._number(right)
        numbers = isinstance(left, int) and isinstance(right, int)
        if not numbers or max(self._largest(left), self._largest(right)) >= LARGEST:
            left, right = self.taken(left), self.taken(right)
        calculate = CALCULATIONS[name]
        if isinstance(left, Ahead) or isinstance(right, Ahead):
            of = calculate(self._of(left), self._of(right))
            return self.ahead(calculate(int(left), int(right)), of)
        if isinstance(left, Counter) or isinstance(right, Counter):
            return Counter.build(calculate(int(left), int(right)), self)
        return calculate(left, right)

    def compared(self, name: str, left: Any, right: Any) -> Any:
        """Return the result of a comparison, one of whose operands is a number ahead."""
        left, right = self._number(left), self._number(right)
        numbers = isinstance(left, int) and isinstance(right, int)
        compare = COMPARISONS[name]
        if name in ("eq", "ne") and any(x is None or isinstance(x, str) for x in (left, right)):
            return compare(left, right)  # no number is a text
        if (
            name in ("in", "notin")
            or not numbers
            or isinstance(left, Counter)
            or max(self._largest(left), self._largest(right)) >= LARGEST
        ):
            left, right = self.taken(left), self.taken(right)
        if isinstance(left, Ahead) or isinstance(right, Ahead):
            outcomes = compare(self._of(left), self._of(right))
            return self.decide(outcomes, compare(int(left), int(right)))
        return compare(self.taken(left), self.taken(right))

    def _number(self, value: Any) -> Any:
        """Return the value for the prefix that goes alone, if one does."""
        if isinstance(value, Ahead) and self.alone is not None:
            self._is_own = True
            return int(value.of[self.alone])
        return value

    def _of(self, value: int) -> Any:
        """Return a number for each prefix, or one number if it is the same for all."""
        return value.of if isinstance(value, Ahead) else int(value)

    def _largest(self, value: int) -> int:
        if isinstance(value, Ahead):
            return max(abs(int(value)), int(np.abs(value.of).max()))
        return abs(int(value))

    def numbers_up_to(self, start: int, stop: Ahead) -> list[int]:
        """Return the numbers from ``start`` to a number ahead, as a view if possible.

        It is possible if each message adds one number.
        """
        numbers = Messages(range(start, int(stop)))
        numbers.prefixes = self
        shift = self.count - int(stop)
        ends = np.maximum(self.numbers - shift, start)
        self.part(np.maximum(stop.of, start) != ends)
        if shift + start < 0:
            self.part()
        else:
            self._views[id(numbers)] = View(numbers, shift + start)
        return numbers

    # --- lists of messages ----------------------------------------------------------------------

    def sliced(self, view: View, part: slice) -> Any:
        """Return a slice of a view."""
        if self.alone is not None:
            return self.items(view)[part]
        sliced = Messages(view.items[part])
        sliced.prefixes = self
        start, stop, step = part.start, part.stop, part.step
        if view.is_reversed:
            self.part()
        elif start is None and stop is None and step == -1:
            self._views[id(sliced)] = View(sliced, view.first, is_reversed=True)
        elif step not in (None, 1) or not (start is None or _is_place(start)):
            self.part()
        elif stop is None:
            self._views[id(sliced)] = View(sliced, view.first + (start or 0))
        elif _is_place(stop):
            self.part(self.numbers < view.first + stop)
            return list(sliced)
        else:
            self.part()
        return sliced

    def look_up(self, view: View, index: Any) -> None:
        """Note that the template takes an item of a view."""
        if view.is_reversed or not _is_place(index):
            self.part()
        elif index < len(view.items):
            self.part(self.numbers <= view.first + index)

    def copied(self, view: View) -> list[Any]:
        """Return a copy of a view."""
        if self.alone is not None:
            return self.items(view)
        copy = Messages(view.items)
        copy.prefixes = self
        self._views[id(copy)] = view._replace(items=copy)
        return copy

    def views(self) -> tuple[int, int]:
        """Return how many lists are known, for ``forget_views``."""
        return len(self._views), len(self._hidden)

    def forget_views(self, numbers: tuple[int, int]) -> None:
        """Forget the lists that were made in a turn of the main loop.

        Args:
            numbers: how many were known before the turn.
        """
        if not self._keeps_views:
            for known, number in zip((self._views, self._hidden), numbers, strict=True):
                while len(known) > number:
                    known.popitem()

    # --- namespaces -----------------------------------------------------------------------------

    def add_namespace(self, namespace: TracedNamespace) -> int:
        """Note a new namespace; return its number.

        Those made in a turn of the main loop end with the turn.
        """
        if self.is_on and self.alone is None and not self.is_in_turn:
            self._namespaces.add(namespace)
        if self.is_on and any(map(_holds_namespace, values_of(namespace).values())):
            self.give_up()
        self.made += 1
        return self.made

    def note_set(self, namespace: TracedNamespace, name: str, value: Any) -> Any:
        """Note that the template sets a value in a namespace; return the value to set."""
        if not self.is_on:
            return value
        if _holds_namespace(value):
            self.give_up()
        self.is_changed = True
        self._keeps_views |= isinstance(value, CONTAINERS)
        value = int(value) if isinstance(value, Counter) else self._number(value)
        if self.alone is None:
            before = values_of(namespace).get(name, MISSING)
            for loop in self.loops:
                loop.note_set(namespace, name, value, before)
        return value

    def asks(self, value: Any) -> Any:
        """Return whether the text is a prompt: the prefixes are, the whole is not.

        Args:
            value: what the template gets.
        """
        if not self.is_on or self.floor >= self.count:
            return value
        self.depends_on_asking = True
        if self.alone is not None:
            return True
        self.part()
        return value

    def give_up(self) -> None:
        """Prove nothing from here on: the template keeps a state that cannot be restored."""
        self._is_spoiled = self.is_over = True
        self.together[:] = False

    def state(self) -> State:
        """Return a copy of what is in the namespaces."""
        return [(namespace, dict(values_of(namespace))) for namespace in self._namespaces]

    def settle(
        self,
        namespace: TracedNamespace,
        name: str,
        choices: list[Any],
        which: Numbers,
    ) -> None:
        """Set in a namespace what each prefix has there, after a loop.

        Args:
            namespace: the namespace; it holds the value of the whole.
            name: the name of the value.
            choices: the values that there are; MISSING: none.
            which: for each prefix, the index of its value among them.
        """
        value = values_of(namespace).get(name, MISSING)
        if all(isinstance(choice, int) and not isinstance(choice, bool) for choice in choices):
            if max(map(self._largest, (*choices, value))) >= LARGEST:
                self.part()
                return
            of = np.array([int(choice) for choice in choices], dtype=np.int64)[which]
            for index, choice in enumerate(choices):
                if isinstance(choice, Ahead):
                    of = np.where(which == index, choice.of, of)
            namespace[name] = Ahead.build(int(value), of, self)
        else:
            self.part(~np.array([is_same(choice, value) for choice in choices])[which])

    # --- a prefix alone -------------------------------------------------------------------------

    def begin_alone(self, prefix: int, state: State) -> None:
        """Let the template go on as for a prefix, from a state."""
        self._restore = self.state()
        self.alone, self.were_alone = prefix, True
        self._is_spoiled = False
        self._texts = []
        self._kept, self._made_alone = {}, {}
        for namespace, values in state:
            own = values_of(namespace)
            own.clear()
            own.update({name: self._number(value) for name, value in values.items()})

    def end_alone(self) -> tuple[str, State] | None:
        """Return to the whole.

        Returns:
            what the template wrote, and the state that it left; None if that is not certain.
        """
        left = self.state()
        self.alone = None
        for namespace, values in self._restore:
            own = values_of(namespace)
            own.clear()
            own.update(values)
        return None if self._is_spoiled else ("".join(self._texts), left)

    def write_alone(self, text: str) -> None:
        """Note that the template has written a text for the prefix that goes alone."""
        self._texts.append(str.__str__(text))
        self.is_changed |= bool(text)

    def begin_step(self) -> None:
        """Begin a step of a reversed loop in which a prefix goes alone."""
        self.is_changed = self._has_looked = self._is_own = False
        self._reads = {}

    def end_step(self) -> tuple[bool, Reads | None]:
        """End the step.

        Returns:
            whether all further steps do nothing, as this one did; and what the step read, if it did
            nothing and looked at nothing that another prefix may not have; otherwise None.
        """
        if self.is_changed:
            return False, None
        return not self._has_looked, None if self._is_own else self._reads


def _is_place(value: Any) -> bool:
    """Tell whether a value is an index that counts from the start of a list."""
    return isinstance(value, int) and value >= 0


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same for a template."""
    if one is other:
        return True
    if isinstance(one, str) and isinstance(other, str):
        return str.__eq__(one, other)
    simple = bool | int | float
    is_plain = not isinstance(one, Ahead) and not isinstance(other, Ahead)
    return is_plain and type(one) is type(other) and isinstance(one, simple) and one == other


def _holds_namespace(value: Any) -> bool:
    """Tell whether a value is a namespace, or contains one."""
    if isinstance(value, dict):
        return any(map(_holds_namespace, value.values()))
    if isinstance(value, list | tuple):
        return not isinstance(value, Messages) and any(map(_holds_namespace, value))
    return isinstance(value, Namespace)


def key_of(value: Any, prefix: int) -> Hashable:
    """Return what tells a value from others; None if it cannot be told."""
    if isinstance(value, Ahead):
        return "int", int(value.of[prefix])
    if isinstance(value, str):
        return "str", str.__str__(value)
    if value is MISSING or isinstance(value, jinja2.Undefined):
        return ("none",)
    if value is None or isinstance(value, bool | int | float):
        return type(value).__name__, value
    return None
