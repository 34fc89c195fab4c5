r"""The local engine: worker processes on this machine process the blocks.

How the processes start each other (the modules that run in each are in brackets)::

    parent process   [engine, scheduler, pool, fork_server; early, before numpy is loaded]
     |
     |  (1) Popen: a fresh interpreter, in a process group of its own,
     |      with one end of a pipe for each worker
     v
    fork server      [main, then worker]
     |
     |  (2) loads the libraries, receives the settings and builds its work
     |  (3) forks once per pipe, so that the workers share the loaded libraries; then exits
     |      (the parent is a subreaper: the kernel gives it the workers as its own children)
     |
     +---------------+---------------+
     v               v               v
    worker 1        worker 2        worker n        [worker]

The messages on each pipe, which connects the parent with one worker::

    parent                                                     worker
       |  Settings           once, through the first pipe  ->    |
       |  <-     once the worker has loaded everything  Ready    |
       |  Block              at most two unanswered      ->      |
       |  <-             in the order of the blocks  BlockResult |
       |  <-         last, if the run cannot continue  Failed    |

With a single worker, the fork server does not fork but becomes the worker itself. If the kernel
offers no subreaper, each worker is started as such a separate program.

What happens when a process ends too soon:

- A worker dies: its pipe is closed. The scheduler gives its blocks to another worker. If that
  worker dies on the same block, the run ends with an ``InternalError`` that names the block's
  lines. A worker that dies before it was given a block is replaced once.
- The fork server dies before it has forked: all of its pipes are closed. All of its workers are
  replaced, once.
- The parent dies: each worker exits when it notices that its pipe is closed. On Linux the kernel
  also kills it, so that it does not finish a long block first.
- The run ends with an error or a signal: the parent kills the process group.
"""
