"""Find the loop in which a template writes the messages, if nothing after it depends on them.

In     the parsed source of a chat template.
Out    ``main_loop``: the last loop over the messages, if it stands at the template's top level and
       what the template writes after it depends neither on the messages nor on what the loop did.
Keeps  a proof: whatever the loop has written when it comes to a message, together with what the
       template writes after the loop, is the rendering of the messages before this one. It holds
       if the template has not looked at later messages by then, see ``tracing.Sight``.
"""

from collections.abc import Iterable

from jinja2 import nodes

MESSAGES = "messages"


def main_loop(tree: nodes.Template, found: set[str]) -> nodes.For | None:
    """Return the main loop of a template; None if it has none.

    Args:
        tree: the template.
        found: the names that ``tainted`` found in it.
    """
    places = [i for i, n in enumerate(tree.body) if isinstance(n, nodes.For)]
    places = [i for i in places if names_read(tree.body[i].iter) & found]  # type: ignore[attr-defined]
    if not places:
        return None
    loop, after = tree.body[places[-1]], tree.body[places[-1] + 1 :]
    assert isinstance(loop, nodes.For)
    changed = {node.name for node in loop.find_all(nodes.NSRef)}
    if any(names_read(node) & (found | changed) for node in after) or loop.else_:
        return None
    return loop


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
    own: Iterable[nodes.Node] = [node] if isinstance(node, nodes.Name) else ()
    return {
        name.name
        for name in (*own, *node.find_all(nodes.Name))
        if isinstance(name, nodes.Name) and name.ctx == "load"
    }
