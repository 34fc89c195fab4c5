"""Go through the messages in a loop of the template, for the whole conversation and its prefixes.

In     a list of messages, and what the template reads and sets in the loop.
Out    ``MessageLoop``: the iterator of the loop, and the attributes of ``loop`` in the template.
       ``Prefixes.beginnings``, when the loop is the template's main loop.
Keeps  the proof that ``prefixes`` describes.
"""

from collections.abc import Callable, Generator, Hashable, Iterator
from typing import Any

import numpy as np

from sftprep.templates.jinja.prefixes import (
    MISSING,
    Beginning,
    Counter,
    Prefixes,
    Reads,
    State,
    TracedNamespace,
    View,
    is_same,
    key_of,
    number_of,
    values_of,
)

LONGEST_ALONE, SPARE_ALONE = 64, 256
"""A prefix goes alone for so many turns at most; all prefixes together for four times as many turns
as there are messages, and some more."""

LOOP_ATTRIBUTES = frozenset(
    ("index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem")
)


class MessageLoop:
    """A loop of the template over a view: its iterator, and what ``loop`` is in the template.

    Args:
        prefixes: the prefixes.
        view: the view.
        is_main: whether this is the template's main loop.
        may_break: whether the template may leave the loop early.
        read_later: what the template reads after its main loop: values, and for namespaces the
            names in them; no names: all.
    """

    def __init__(
        self,
        prefixes: Prefixes,
        view: View,
        *,
        is_main: bool,
        may_break: bool,
        read_later: tuple[tuple[Any, tuple[str, ...]], ...] = (),
    ) -> None:
        self._prefixes = prefixes
        self._view = view
        self._is_main = False
        self._may_break = may_break
        self._read_later = read_later
        self._items = view.items  # that it goes through
        self._at = 0  # the index of the item
        self._outer = prefixes.floor
        self._position = prefixes.position
        self._message = -1  # the message of the item
        self._sets: dict[tuple[TracedNamespace, str], tuple[Any, list[tuple[int, Any]]]] = {}
        self._made = prefixes.made
        self._steps: Generator[Any]
        self._notes = False
        if prefixes.alone is not None:
            self._steps = self._alone()
        elif view.is_reversed:
            self._steps = self._reversed()
        elif is_main:
            self._is_main = True
            self._steps = self._turns()
        else:
            self._notes = True
            prefixes.loops.append(self)
            self._steps = self._forward()

    def __iter__(self) -> "MessageLoop":
        return self

    def __next__(self) -> Any:
        return next(self._steps)

    def finish(self) -> None:
        """Note that the template has left the loop."""
        self._steps.close()
        prefixes = self._prefixes
        if self._is_main:
            prefixes.floor = prefixes.count
            prefixes.is_in_turn = False
        if not self._notes:
            return
        self._check_text()
        prefixes.loops.remove(self)
        prefixes.floor = self._outer
        for (namespace, name), (before, sets) in self._sets.items():
            which = np.searchsorted([message for message, _ in sets], prefixes.numbers)
            prefixes.settle(namespace, name, [before, *(value for _, value in sets)], which)

    def note_set(self, namespace: TracedNamespace, name: str, value: Any, before: Any) -> None:
        """Note that the template sets a value in a namespace."""
        if number_of(namespace) <= self._made:
            _, sets = self._sets.setdefault((namespace, name), (before, []))
            sets.append((self._message, value))

    def attribute(self, name: str, undefined: Callable[[], Any]) -> Any:
        """Return an attribute of ``loop``.

        Args:
            name: one of ``LOOP_ATTRIBUTES``.
            undefined: makes the value that stands for none.
        """
        prefixes = self._prefixes
        if prefixes.is_counting and self._view.is_reversed:
            return self._counted(name)
        at, items = self._at, self._items
        known = {"index0": at, "index": at + 1, "first": at == 0}
        if name in known:
            return known[name]
        if name == "previtem":
            return items[at - 1] if at else undefined()
        length = prefixes.length(self._view)
        if name in ("last", "nextitem"):
            is_last = prefixes.compared("eq", length, at + 1)
            if name == "last":
                return is_last
            return undefined() if is_last else items[at + 1]
        passed = {"length": 0, "revindex": at, "revindex0": at + 1}
        return prefixes.calculated("-", length, passed[name])

    def _counted(self, name: str) -> Any:
        """Return an attribute of ``loop`` in a reversed loop in which a prefix goes alone."""
        prefixes = self._prefixes
        length = len(self._items)
        numbers = {
            "index0": self._at,
            "index": self._at + 1,
            "revindex": length - self._at,
            "revindex0": length - self._at - 1,
            "length": length,
        }
        if name in numbers:
            return Counter.build(numbers[name], prefixes)
        prefixes.is_changed = True
        if name in ("first", "last"):
            return self._at == (0 if name == "first" else length - 1)
        prefixes.spoil()  # a neighbour
        return None

    def _forward(self) -> Generator[Any]:
        """Yield the items in order; prefixes wait that have no more of them."""
        prefixes = self._prefixes
        for item in enumerate_into(self, self._view.items):
            self._check_text()
            self._message = self._view.first + self._at
            prefixes.floor = max(self._outer, self._message)
            yield item

    def _check_text(self) -> None:
        """Let prefixes part that would not have written what the template wrote with an item."""
        prefixes = self._prefixes
        if prefixes.position > self._position:
            prefixes.together[self._outer + 1 : self._message + 1] = False
        self._position = prefixes.position

    def _alone(self) -> Generator[Any]:
        """Yield the items of a prefix that goes alone."""
        yield from enumerate_into(self, self._prefixes.items(self._view))

    def _reversed(self) -> Generator[Any]:
        """Yield the items in reverse order, first for each prefix, then for the whole."""
        prefixes, view = self._prefixes, self._view
        if self._may_break or prefixes.loops or prefixes.is_in_turn:
            prefixes.part()
            yield from enumerate_into(self, view.items)
            return
        before = prefixes.state()
        left: dict[int, State] = {}
        idle = _Idle()
        for prefix in prefixes.wanted:
            if not prefixes.together[prefix] or prefixes.is_over:
                continue
            prefixes.begin_alone(prefix, before)
            prefixes.is_counting = True
            self._items, self._at = prefixes.items(view), 0
            known: Reads = {}  # what was read since the last step that did something
            while self._at < len(self._items):
                prefixes.begin_step()
                yield self._items[self._at]
                nothing_follows, read = prefixes.end_step()
                if nothing_follows:
                    break
                message = prefix - 1 - self._at
                known = {} if read is None else {**known, **read}
                following = message - 1 if read is None else idle.below(message, known)
                self._at = prefix - 1 - following
            prefixes.is_counting = False
            ended = prefixes.end_alone()
            if ended is not None and not ended[0]:
                left[prefix] = ended[1]
        position = prefixes.position
        prefixes.floor = prefixes.count
        yield from enumerate_into(self, view.items)
        prefixes.floor = self._outer
        is_proven = np.isin(prefixes.numbers, list(left))
        prefixes.part(~is_proven if prefixes.position == position else None)
        self._settle_all(before, left)

    def _settle_all(self, before: State, left: dict[int, State]) -> None:
        """Set in the namespaces what each prefix has left there."""
        prefixes = self._prefixes
        states = {prefix: dict(state) for prefix, state in left.items()}
        for namespace, old in before:
            own = values_of(namespace)
            found = {p: state[namespace] for p, state in states.items() if namespace in state}
            for name in {*old, *own, *(name for values in found.values() for name in values)}:
                choices = [own.get(name, MISSING)]
                which = np.zeros(prefixes.count + 1, dtype=np.int64)
                for prefix, values in found.items():
                    value = values.get(name, MISSING)
                    if not is_same(value, choices[-1]):
                        choices.append(value)
                    which[prefix] = len(choices) - 1
                if len(choices) > 1:
                    prefixes.settle(namespace, name, choices, which)

    def _turns(self) -> Generator[Any]:
        """Yield the items of the main loop. Prefixes that part in a turn repeat it alone."""
        prefixes, view = self._prefixes, self._view
        wanted = set(prefixes.wanted)
        prefixes.is_in_turn = True
        for index, item in enumerate(view.items):
            message = view.first + index
            if prefixes.together[message]:
                self._complete(message, prefixes.position, "", prefixes.state())
            prefixes.floor = max(self._outer, message)
            before = prefixes.together.copy()
            state, position = prefixes.state(), prefixes.position
            views = prefixes.views()
            self._at = index
            yield item
            parted = np.flatnonzero(before[message + 1 :] & ~prefixes.together[message + 1 :])
            for prefix in (parted + message + 1).tolist():
                if prefix in wanted and not self._may_break and self._may_go(prefix - message):
                    prefixes.begin_alone(prefix, state)
                    for self._at in range(index, prefix - view.first):
                        yield view.items[self._at]
                    ended = prefixes.end_alone()
                    if ended is not None:
                        self._complete(prefix, position, *ended)
            prefixes.forget_views(views)

    def _may_go(self, turns: int) -> bool:
        """Tell whether a prefix may go alone for so many turns."""
        prefixes = self._prefixes
        most = 4 * prefixes.count + SPARE_ALONE
        if prefixes.is_over or turns > LONGEST_ALONE or prefixes.turns_alone + turns > most:
            return False
        prefixes.turns_alone += turns
        return True

    def _complete(self, prefix: int, position: int, more: str, state: State) -> None:
        """Note that the main loop is complete for a prefix."""
        if self._prefixes.is_over:
            return
        by_namespace = dict(state)
        found = []
        for value, names in self._read_later:
            if isinstance(value, TracedNamespace):
                values = by_namespace.get(value)
                if values is None:
                    return
                read = names or sorted(values)
                found += [(name, key_of(values.get(name, MISSING), prefix)) for name in read]
            else:
                found.append(("", key_of(value, prefix)))
        if all(key is not None for _, key in found):
            self._prefixes.beginnings[prefix] = Beginning(position, more, tuple(found))


class _Idle:
    """The steps of a reversed loop that do nothing if certain values are read."""

    def __init__(self) -> None:
        # What is read -> the message of such a step -> one below it that may do something.
        self._below: dict[Hashable, dict[int, int]] = {}

    def below(self, message: int, known: Reads) -> int:
        """Note that the step of a message did nothing; return the next one that may do something.

        Since the steps in between do nothing, what they read is still the same when it is reached.

        Args:
            message: the message.
            known: what the step read; it may hold more that was true.
        """
        below = self._below.setdefault(tuple(sorted(known.items())), {})
        following = below[message] = message - 1
        passed = [message]
        while following in below:
            passed.append(following)
            following = below[following]
        below.update(dict.fromkeys(passed, following))
        return following


def enumerate_into(loop: MessageLoop, items: list[Any]) -> Iterator[Any]:
    """Yield items, and let the loop know the index of each."""
    loop._items = items
    for loop._at, item in enumerate(items):
        yield item
