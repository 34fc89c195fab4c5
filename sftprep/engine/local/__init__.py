r"""The local engine: blocks are worked on in worker processes of this machine.

Who starts whom (in brackets: the modules that run there)::

    parent process   [engine, scheduler, pool, fork_server; early, before numpy is loaded]
     |
     |  (1) Popen: a fresh interpreter, in a process group of its own,
     |      with one end of a pipe for each worker
     v
    fork server      [main, then worker]
     |
     |  (2) loads the libraries, receives the settings and builds the Pipeline
     |  (3) forks once per pipe, so that the workers share what is loaded; then exits
     |      (the parent is a subreaper: the kernel gives it the workers as its own children)
     |
     +---------------+---------------+
     v               v               v
    worker 1        worker 2        worker n        [worker]

What travels on the pipes, each between the parent and one worker::

    parent                                                     worker
       |  Settings           once, through the first pipe  ->    |
       |  <-                        when it has loaded  Ready    |
       |  Block              at most two ahead           ->      |
       |  <-                  in the order of blocks  BlockResult|
       |  <-                  last: the run cannot go on  Failed |

With one worker, or where the kernel offers no subreaper, the fork server does not fork: it is the
worker, and several workers are several such programs.

What happens when a process ends too soon:

- A worker dies: its pipe ends. The scheduler gives its blocks to another worker. If that one dies
  of the same block, the run ends with an ``InternalError`` that names the block's lines. A worker
  that dies before it was given a block is replaced once.
- The fork server dies before it has forked: all of its pipes end. All of its workers are replaced,
  once.
- The parent dies: each worker exits when it reads the end of its pipe. On Linux the kernel also
  kills it, so that it does not finish a long block first.
- The run ends with an error or a signal: the parent kills the process group.
"""
