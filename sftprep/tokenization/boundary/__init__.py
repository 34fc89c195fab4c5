r"""Find out which loss boundaries inside a text change its ids, without encoding it all twice.

A *loss boundary* is a place inside a text where the loss turns on or off. In ``Q: hi\nA: yes``,
with ``yes`` as the completion, it lies before ``yes``. The text on each side of a boundary is a
*run*, and the runs of one text form a *chain* (see ``data.runs``). A chain is *clean* if encoding
its runs one by one gives the ids of the whole text, and *unclean* otherwise. The chain of ``A: ``
and ``yes`` is unclean with GPT-2's tokenizer: one by one, the space is a token of its own, but in
``A: yes`` it belongs to the token ``␣yes``.

What follows from this depends on the option ``--boundary``:

``split``  Every run is encoded by itself, whether its chain is clean or not. Then everything in
           this package only yields a count: the rows that hold an unclean chain.
``joint``  An unclean chain is encoded as one text. Then this package determines the ids. A token
           that lies across a boundary goes to the side that is not trained.

To tell whether a chain is clean, its whole text would have to be encoded a second time. Token
breaks make that rare. A *token break* is a place in a text that no token can ever lie across: the
ids of the text are the ids of the part before it, followed by the ids of the part after it (encoded
as a continuation), whatever else is in the two parts. A boundary at a token break is clean. For
any other boundary, it is enough to encode the text between the nearest token breaks around it.

known_breaks  finds out from a ``tokenizer.json`` how token breaks can be recognized
breaks        finds token breaks in texts
chains        finds the unclean chains and joins them
"""
