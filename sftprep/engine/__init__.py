"""Engines: where the blocks of a run are worked on.

In     Blocks in input order, and the ``Settings`` from which a ``Pipeline`` is built.
Out    One ``BlockResult`` per block, in the same order, whatever the engine and the number of
       workers.

There is one engine: ``local``, with processes of this machine (``local.engine.run_blocks``).
"""
