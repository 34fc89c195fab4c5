"""Find the loop in which a template writes the messages, and the loops that can be followed.

In     the parsed source of a chat template.
Out    ``main_loops``: the last loop over the messages, if it stands at the template's top level; or
       the last of each branch, if it stands in a condition there: then at most one of them is
       carried out. Each comes with the names that the template reads after it and whose values may
       depend on the messages or on what the loop did. ``simple_loops``: the loops over messages
       that ``prefixes`` can follow for each beginning of a conversation.
Keeps  a proof: what the loop has written when it comes to a message, together with what the
       template writes after the loop with the same values, is the rendering of the messages before
       this one. It holds if all that was done by then is the same for them, see ``prefixes``.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from jinja2 import nodes

from sftprep.templates.jinja.message_loop import LOOP_ATTRIBUTES

MESSAGES = "messages"
OTHER_LOOP_ATTRIBUTES = frozenset(("depth", "depth0"))


class MainLoop(NamedTuple):
    """A main loop of a template."""

    node: nodes.For
    read_later: dict[str, tuple[str, ...]]  # name -> its attributes that are read; empty: all of it


def main_loops(tree: nodes.Template, found: set[str]) -> list[MainLoop]:
    """Return the main loop of a template, or one for each branch; none if it has none.

    Args:
        tree: the template.
        found: the names that ``tainted`` found in it.
    """
    changed = {node.name for node in tree.find_all(nodes.NSRef)}
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    loops = []
    for loop, after in _last_loops(tree.body, (), found):
        parts = list(_with_macros(tree, after))
        names = {name for part in parts for name in names_read(part)}
        read = (names & (found | changed)) - macros
        if MESSAGES not in read and not loop.else_:
            loops.append(MainLoop(loop, {name: _attributes(name, parts) for name in sorted(read)}))
    return loops


def _last_loops(
    body: Sequence[nodes.Node], after: Sequence[nodes.Node], found: set[str]
) -> Iterator[tuple[nodes.For, Sequence[nodes.Node]]]:
    """Yield the last loop over messages in a body, or in each branch of its last condition.

    Args:
        body: statements.
        after: what follows them.
        found: as for ``main_loops``.

    Yields:
        a loop, and what follows it.
    """
    loops = [i for i, node in enumerate(body) if _goes_through(node, found)]
    if loops:
        loop = body[loops[-1]]
        assert isinstance(loop, nodes.For)
        yield loop, [*body[loops[-1] + 1 :], *after]
        return
    conditions = [
        i
        for i, node in enumerate(body)
        if isinstance(node, nodes.If)
        and any(_goes_through(inner, found) for inner in node.find_all(nodes.For))
    ]
    if conditions:
        condition, following = body[conditions[-1]], [*body[conditions[-1] + 1 :], *after]
        assert isinstance(condition, nodes.If)
        for branch in (condition, *condition.elif_):
            yield from _last_loops(branch.body, following, found)
        yield from _last_loops(condition.else_, following, found)


def _goes_through(node: nodes.Node, found: set[str]) -> bool:
    """Tell whether a node is a loop over what may be messages."""
    return isinstance(node, nodes.For) and bool(names_read(node.iter) & found)


def _with_macros(tree: nodes.Template, after: Sequence[nodes.Node]) -> Iterator[nodes.Node]:
    """Yield these nodes, and the macros that they may call."""
    macros = list(tree.find_all(nodes.Macro))
    called: set[str] = set()
    waiting = list(after)
    while waiting:
        node = waiting.pop()
        yield node
        new = {macro.name for macro in macros} & names_read(node) - called
        called |= new
        waiting += [macro for macro in macros if macro.name in new]


def _attributes(name: str, parts: Sequence[nodes.Node]) -> tuple[str, ...]:
    """Return the attributes of a name that nodes read; none if they may read all of it."""
    reads = [n for part in parts for n in _names(part) if n.name == name and n.ctx == "load"]
    holders = [
        node
        for part in parts
        for node in _all(part, nodes.Getattr)
        if isinstance(node.node, nodes.Name) and node.node.name == name  # type: ignore[attr-defined]
    ]
    if len(holders) != len(reads):
        return ()
    return tuple(sorted({holder.attr for holder in holders}))  # type: ignore[attr-defined]


def simple_loops(tree: nodes.Template) -> set[nodes.For]:
    """Return the loops of which each step can be followed for each beginning of a conversation.

    They write directly, not into a macro or a block, and use ``loop`` only for its attributes.
    """
    return set(_simple_loops(tree.body))


def _simple_loops(body: Sequence[nodes.Node]) -> Iterator[nodes.For]:
    for node in body:
        if isinstance(node, nodes.If):
            for part in (node.body, node.elif_, node.else_):
                yield from _simple_loops(part)
        elif isinstance(node, nodes.For):
            if not (node.test or node.else_ or node.recursive) and _uses_attributes_only(node):
                yield node
            yield from _simple_loops(node.body)


def _uses_attributes_only(loop: nodes.For) -> bool:
    known = LOOP_ATTRIBUTES | OTHER_LOOP_ATTRIBUTES
    reads = [name for part in loop.body for name in _names(part) if name.name == "loop"]
    good = [
        node
        for part in loop.body
        for kind in (nodes.Getattr, nodes.Getitem)
        for node in _all(part, kind)
        if isinstance(node.node, nodes.Name)  # type: ignore[attr-defined]
        and node.node.name == "loop"  # type: ignore[attr-defined]
        and _attribute(node) in known
    ]
    return len(reads) == len(good)


def _attribute(node: nodes.Node) -> str:
    """Return the name of the attribute or item that a node reads; "" if it is computed."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    assert isinstance(node, nodes.Getitem)
    return str(node.arg.value) if isinstance(node.arg, nodes.Const) else ""


def may_break(loop: nodes.For) -> bool:
    """Tell whether a loop, or a loop in it, may be left early."""
    return any(_all(part, nodes.Break) for part in loop.body)


def tainted(tree: nodes.Template) -> set[str]:
    """Return the names whose values may depend on which messages there are."""
    names = {MESSAGES}
    while True:
        more = set(names)
        for assign in tree.find_all(nodes.Assign):
            if names_read(assign.node) & names:
                more |= _names_set(assign.target)
        for block in tree.find_all(nodes.AssignBlock):
            if any(names_read(node) & names for node in block.body):
                more |= _names_set(block.target)
        for loop in tree.find_all(nodes.For):
            if names_read(loop.iter) & names:
                more |= _names_set(loop.target)
        for macro in tree.find_all(nodes.Macro):
            if any(names_read(node) & names for node in macro.body):
                more.add(macro.name)
        if more == names:
            return names
        names = more


def _names_set(target: nodes.Node) -> set[str]:
    """Return the names that an assignment or a loop sets."""
    own = [target] if isinstance(target, nodes.Name | nodes.NSRef) else []
    return {name.name for name in (*own, *target.find_all(nodes.Name))}


def names_read(node: nodes.Node) -> set[str]:
    """Return the names that a node reads."""
    return {name.name for name in _names(node) if name.ctx == "load"}


def _names(node: nodes.Node) -> list[nodes.Name]:
    """Return the names in a node."""
    return [name for name in _all(node, nodes.Name) if isinstance(name, nodes.Name)]


def _all(node: nodes.Node, kind: type[nodes.Node]) -> list[nodes.Node]:
    """Return the nodes of a kind in a node, itself included."""
    own: Iterable[nodes.Node] = [node] if isinstance(node, kind) else ()
    return [*own, *node.find_all(kind)]
