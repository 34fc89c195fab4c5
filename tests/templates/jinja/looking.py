"""Templates that look at later messages in the ways of models' own templates, made at random."""

from hypothesis import strategies as st

SEARCHES = [
    "{% for m in messages[::-1] %}{% set i = (messages|length - 1) - loop.index0 %}"
    "{% if ns.go and m.role == 'user' %}{% set ns.go = false %}{% set ns.at = i %}{% endif %}"
    "{% endfor %}",
    "{% for m in messages[::-1] %}{% set i = n - loop.index %}{% if m.role == 'user' %}"
    "{% if ns.go %}{% set ns.go = false %}{% set ns.at = i %}{% endif %}{% endif %}{% endfor %}",
    "{% for m in messages %}{% if m.role == 'user' %}{% set ns.at = loop.index0 %}{% endif %}"
    "{% endfor %}",
    "{% for m in rest %}{% if m.role == 'user' %}{% set ns.at = loop.index0 %}"
    "{% set ns.text = m.content %}{% endif %}{% endfor %}",
    "{% for i in range(messages|length) %}{% if messages[i].role == 'user' %}{% set ns.at = i %}"
    "{% endif %}{% endfor %}",
    "{% for i in range(rest|length) %}{% if rest[i].role == 'user' %}{% set ns.at = i %}"
    "{% endif %}{% endfor %}",
    "{% for m in messages %}{% if (m.role == 'user') != (ns.count % 2 == 0) %}"
    "{% set ns.odd = true %}{% endif %}{% set ns.count = ns.count + 1 %}{% endfor %}",
    "{% for m in messages %}{% if loop.last %}{% set ns.text = m.content %}{% endif %}{% endfor %}",
    "{% for m in messages %}{% for c in m.content %}{% if c == 'z' %}{% set ns.odd = true %}"
    "{% endif %}{% endfor %}{% endfor %}",
    "{% for m in messages[::-1] %}{% if loop.first %}{% set ns.text = m.content %}{% endif %}"
    "{% endfor %}",
    "{% for m in messages[::-1] %}{% set ns.count = ns.count + 1 %}{% endfor %}",
    "{% for m in messages %}{% set ns.at = ns.at + 1 %}{% endfor %}",
    "{% for m in messages[::-1] %}{% if m.role == 'user' and loop.index0 < 2 %}"
    "{% set ns.odd = true %}{% endif %}{% endfor %}",
    "{% for m in messages[::-1] %}{% if ns.go %}{% if loop.revindex0 < 2 %}{% set ns.go = false %}"
    "{% endif %}{% endif %}{% endfor %}",
    "{% for m in messages[::-1] %}{% if ns.go and messages[1].role == m.role %}"
    "{% set ns.go = false %}{% set ns.at = loop.index %}{% endif %}{% endfor %}",
    "{% for m in messages[1:][::-1] %}{% if ns.go and m.content == 'c' %}{% set ns.go = false %}"
    "{% endif %}{% endfor %}",
    "{% for m in messages %}{% if m.content == 'c' %}{% break %}{% endif %}"
    "{% set ns.at = loop.index0 %}{% endfor %}",
    "{% for m in messages %}{% if m.role != 'user' %}{% continue %}{% endif %}"
    "{% set ns.at = loop.index0 %}{% endfor %}",
    "{% for m in messages[::-1] %}{% if m.role == 'user' %}{% set ns.at = loop.index0 %}{% break %}"
    "{% endif %}{% endfor %}",
    "{% for m in messages %}{% if m.role == 'user' %}{{ m.content[0] }}{% endif %}{% endfor %}",
    "{% for m in messages[::-1] %}{% if ns.go %}{{ m.role[0] }}{% set ns.go = false %}{% endif %}"
    "{% endfor %}",
    "{% for m in messages %}{% for o in messages %}"
    "{% if o.role == 'user' and loop.index0 < ns.at %}{% set ns.count = ns.count + 1 %}{% endif %}"
    "{% endfor %}{% endfor %}",
    "{% for m in messages %}{% for o in messages[::-1] %}{% if ns.go and o.role == 'user' %}"
    "{% set ns.at = loop.index0 %}{% set ns.go = false %}{% endif %}{% endfor %}{% endfor %}",
    "{% set users = messages|selectattr('role', 'equalto', 'user')|list %}",
    "{% set users = messages|selectattr('role', 'equalto', 'user')|list %}"
    "{% for m in messages[::-1] %}{% if ns.go and m == users[-1] %}{% set ns.go = false %}"
    "{% set ns.at = loop.revindex0 %}{% endif %}{% endfor %}",
    "{% for m in messages[::-1] %}{% if [n, 4]|max > 4 and ns.go and m.role == 'user' %}"
    "{% set ns.go = false %}{% set ns.odd = true %}{% endif %}{% endfor %}",
    "{% set ns.at = messages|length - 1 %}", "{% set ns.at = (messages|length) * 2 - 3 %}",
    "{% set ns.count = -(messages|length) %}", "{% set ns.odd = messages|length % 2 == 1 %}",
    "{% set ns.odd = messages|length > 3 %}", "{% set ns.keep = messages[1:] %}",
    "{% set each = rest|map(attribute='role') %}", "{% set comma = joiner(',') %}",
    "{% set ns.inner = namespace(at=1) %}", "{% set ns.at = ns.at if ns.odd else n %}",
    "{% if ns.at %}{% set ns.odd = true %}{% endif %}", "{% set ns.deep = {'n': n} %}",
    "{% set users = (messages|selectattr('role', 'equalto', 'user')|list) or [1] %}",
    "{{ find(messages) }}", "{{ raise_exception('no') if ns.go and n > 4 }}",
    "{% if not ns.go %}{% for m in messages[::-1] %}{% if ns.count < 1 and m.role == 'user' %}"
    "{% set ns.count = 1 %}{% set ns.text = m.content %}{% endif %}{% endfor %}{% endif %}",
]  # fmt: skip
SEEN = [
    "{{ 'x' if loop.index0 > ns.at }}", "{{ 'x' if loop.index0 == ns.at }}", "{{ ns.at }}",
    "{{ 'x' if ns.at < loop.index0 }}", "{{ 'x' if loop.index > ns.at >= 1 }}", "{{ ns.text }}",
    "{{ 'x' if loop.last }}", "{{ 'x' if not loop.last }}", "{{ ',' if not loop.last }}",
    "{{ 'x' if loop.last or messages[loop.index0 + 1].role == 'user' }}", "{{ ns.count }}",
    "{{ 'x' if loop.nextitem and loop.nextitem.role == 'assistant' }}", "{{ 'x' if ns.odd }}",
    "{{ 'x' if loop.last and not add_generation_prompt }}", "{{ 'p' if add_generation_prompt }}",
    "{{ 'x' if m == users[-1] }}", "{{ 'u' if users }}", "{{ users|length }}", "{{ n }}",
    "{% if loop.index0 < n - 2 %}h{% endif %}", "{{ 'x' if loop.revindex < 3 }}",
    "{{ 'x' if loop.revindex0 == 0 }}", "{{ 'x' if loop.length > 3 }}", "{{ ns.keep|length }}",
    "{% set ns.at = loop.index0 %}", "{% set ns.count = ns.count + 1 %}", "{{ comma() }}",
    "{% set ns.odd = m.role == 'user' %}", "{% set ns.text = m.content %}",
    "{{ each|list|length }}",
    "{% set nn = namespace(role='') %}{% for o in messages[loop.index:] %}"
    "{% if nn.role == '' and o.role != 'tool' %}{% set nn.role = o.role %}{% endif %}{% endfor %}"
    "{{ nn.role }}",
    "{% set nn = namespace(role='') %}{% for j in range(loop.index0 + 1, messages|length) %}"
    "{% if nn.role == '' %}{% set nn.role = messages[j].role %}{% endif %}{% endfor %}"
    "{{ nn.role == 'user' }}",
    "{% set nn = namespace(c=0) %}{% for j in range(loop.index0 + 1, messages|length) %}"
    "{% if messages[j].role == 'user' %}{% set nn.c = nn.c + 1 %}{% endif %}{% endfor %}"
    "{{ nn.c > 1 }}",
    "{% set nn = namespace(c=0) %}{% for o in messages %}{% if o.role == 'user' %}"
    "{% set nn.c = nn.c + 1 %}{% endif %}{% endfor %}{{ nn.c > 1 }}",
    "{% for o in messages[loop.index:] %}{% if loop.first %}{{ o.role[0] }}{% endif %}{% endfor %}",
    "{{ find(messages[loop.index0:]) }}", "{{ 'x' if rest and loop.index0 < rest|length }}",
    "{{ 'x' if messages[n - 1].role == 'user' }}", "{{ ns.inner.at }}", "{{ 'x' if ns.go }}",
    "{% set ns.inner = namespace(at=loop.index0) %}",
    "{% if ns.inner %}{% set q = ns.inner %}{% set q.at = 5 %}{% endif %}",
    "{{ ns.deep }}",
    "{{ [ns.at, 1]|max }}", "{{ 'x' if ns.at in [1, 3] }}", "{{ {ns.at: 1}[ns.at] }}",
    "{{ '%d' % ns.at }}", "{{ ns.at ~ '' }}", "{{ ns.at is odd }}", "{{ ns.at|string }}",
    "{{ 'x' if ns.at and not ns.at is none }}", "{{ 'x' if ns.at == none }}", "{{ ns.at / 2 }}",
    "{{ ns.text == m.content }}", "{{ 'a'.center(ns.at + 3) }}", "{{ 'abcdefgh'[ns.at] }}",
    "{{ messages[:ns.at]|length }}", "{{ range(ns.at)|list|length }}",
    "{{ namespace(at=ns.at).at }}",
    "{% for k in range(ns.at) %}{{ k }}{% endfor %}", "{{ ns.at|tojson }}",
    "{{ ns.at|default(3) }}",
    "{% set ns2.at = ns.at %}", "{{ ns2.at }}",
    "{{ loop.index0 >= ns.at and m.role == 'assistant' }}",
]  # fmt: skip
ENDS = [
    "", "", "{{ ns.at }}", "{{ ns.odd }}", "{% if ns.odd %}<end>{% endif %}", "{{ ns.text }}",
    "{{ 'x' if ns.count > 2 }}", "{{ n }}", "{{ told() }}", "{{ messages[-1].role }}",
    "{{ ns2.at }}",
    "{{ 'x' if users }}", "{{ rest|length }}", "{{ ns.inner.at }}", "{{ ns.deep }}",
]  # fmt: skip
MAIN_LOOPS = [
    "for m in messages", "for m in messages", "for m in rest", "for m in messages[0:]",
    "for m in messages|list", "for m in users", "for m in messages[::-1]", "for m in ns.keep",
]  # fmt: skip


BRANCHES = [
    "true", "tools", "n > 3", "ns.odd", "ns.at", "messages[-1].role == 'user'", "rest", "n % 2",
    "messages[0].role == 'user'", "ns.text == 'c'", "users", "ns.go and not tools",
]  # fmt: skip
"""Conditions around the main loop."""


@st.composite
def looking_sources(draw: st.DrawFn) -> str:
    """Generate templates that search, count and compare, before their main loop and in it."""
    searches = draw(st.lists(st.sampled_from(SEARCHES), max_size=3))
    inside = draw(st.lists(st.sampled_from(SEEN), min_size=1, max_size=3))
    place = draw(st.integers(0, len(inside)))
    test = draw(st.sampled_from(["true", "true", "m.role == 'assistant'", "m.role == 'user'"]))
    seen = f"{{% if {test} %}}{''.join(inside[place:])}{{% endif %}}"
    body = f"{''.join(inside[:place])}{{{{ m.content }}}}</im>{seen}"
    prompt = draw(st.sampled_from(["<im>assistant\n", "{{ '<think>' if ns.odd }}<im>"]))
    loop = draw(st.sampled_from(MAIN_LOOPS))
    head = "<im>{{ m.role }}\n"
    if draw(st.integers(0, 9)) == 0:
        loop, head = "for i in range(messages|length)", "{% set m = messages[i] %}<im>"
    main = f"{{% {loop} %}}{head}{body}\n{{% endfor %}}"
    if draw(st.integers(0, 4)) == 0:
        other = f"{{% {loop} %}}{{{{ m.role }}}}:{body}{{% endfor %}}{draw(st.sampled_from(ENDS))}"
        test = draw(st.sampled_from(BRANCHES))
        main = (
            f"{{% if {test} %}}{main}{draw(st.sampled_from(ENDS))}{{% else %}}{other}{{% endif %}}"
        )
    return (
        "{% set ns = namespace(go=true, at=0, count=0, odd=false, text='', inner=none, keep=[],"
        " deep={}) %}{% set ns2 = namespace(at=7) %}{% set n = messages|length %}"
        "{% set users = messages %}{% set comma = namespace %}{% set each = [] %}"
        "{% macro find(some) %}{% for s in some %}{% if s.role == 'user' %}{{ loop.index0 }}"
        "{% endif %}{% endfor %}{% endmacro %}"
        "{% macro told() %}{{ ns.odd }}{{ ns.at }}{% endmacro %}"
        "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% else %}"
        "{% set rest = messages %}{% endif %}"
        f"{''.join(searches)}{main}"
        f"{draw(st.sampled_from(ENDS))}{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
    )
