"""Engines: they process the blocks of a run and decide which process does the work.

In     blocks in input order, and the ``Settings`` from which a ``Pipeline`` is built.
Out    one ``BlockResult`` per block, in the same order, whatever the engine and the number of
       workers.

There is one engine: ``local`` uses processes on this machine (``local.engine.run_blocks``).
"""
