"""The entry point of a worker program: listen for the settings, then load the libraries.

In     the parent's process id, and the descriptors of the workers' ends of the pipes.
Never  imports anything heavy before it listens, so that the parent can send the settings without
       waiting until the libraries are loaded.
"""

import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection

from sftprep.engine.local.messages import Inbox
from sftprep.system.linux import die_with_parent, is_orphan


def main(parent: int, descriptors: Sequence[int]) -> None:
    """Become one worker for each pipe, and work until the parent closes the pipe.

    Args:
        parent: the process id of the parent that started this program. If ``os.getppid`` returns
            another id, that parent has ended.
        descriptors: one for each worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides how to react to Ctrl-C
    die_with_parent()
    if is_orphan(parent):
        os._exit(0)
    pipes = [Connection(descriptor) for descriptor in descriptors]
    settings = Inbox(pipes[0], limit=1)
    from sftprep.engine.local.worker import work

    work(parent, pipes, settings)
