"""Look for faults in records: what is not consistent, damaged, or not meant to be learned.

In     the dialogues of a block, and what is wrong with records that are none; with a tokenizer,
       their rows too.
Out    ``Findings`` of a block, which can be merged; from all of them, one ``Finding`` a rule.
Keeps  the findings the same for any number of workers and any size of blocks: counts are added, and
       the examples of a rule are those that come first in the input.
Never  changes a record, and knows nothing of terminals: ``views.lint`` writes the words.

``table`` lists the rules. Each is an object with its name, its severity, what it finds, why that
matters and what to do. The modules with rules are named after what they look at: ``spaces``,
``texts``, ``characters``, ``markers``, ``roles``, ``records``, ``pairs`` and ``tokens``.
"""
