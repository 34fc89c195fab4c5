r"""The local engine: blocks are worked on in worker processes of this machine.

Who starts whom::

    parent process                    engine (run_blocks), scheduler, pool, fork_server
     |
     |  1. starts a fresh interpreter with Popen, as a process group of its own, and gives it
     |     one end of a pipe for each worker; it is started before the parent loads numpy
     |     where the input is large (early)
     v
    fork server                       main, then worker
     |
     |  2. listens on the first pipe, loads libraries, receives the settings, builds the Pipeline
     |  3. forks once per pipe, so that the workers share what is loaded, and exits;
     |     the parent is a "subreaper": the kernel makes the workers its own children
     |
     +------------------+------------------+
     v                  v                  v
    worker 1           worker 2           worker n          worker
     ^ |                ^ |                ^ |
     | |  one pipe (a pair of connected sockets) between the parent and each worker:
     | |
     | |  parent -> worker   Settings (once, through the first pipe), then Blocks
     | |  worker -> parent   Ready(pid), then for each Block, in order, its BlockResult;
     | v                     Failed(error) as the last message, which ends the run
    parent process

Where the kernel offers no subreaper (or only one worker is started), the fork server does not fork:
it is the worker. Several workers are then several fresh interpreters.

What happens when one of them dies:

- A worker dies: its pipe ends. The scheduler starts another worker, which works on the blocks that
  the dead one had. A block whose second worker dies as well ends the run with an ``InternalError``
  that names the block's lines. A worker that dies before it had a block is replaced once.
- The fork server dies before it has forked: all its pipes end, and all its workers are started
  again, once.
- The parent dies: each worker reads the end of its pipe and exits. On Linux the kernel also kills
  it, so that it does not finish a long block first.
- The run ends, by an error or a signal too: the pool kills the process group.
"""
