"""The first lines of the worker: the pipes to the trainer, and a process that ends with the trainer.

This process becomes the guardian and the worker is its child. Both are in a process group of their own, which the guardian
kills as soon as the trainer is gone, whatever the worker is doing and whatever processes it has started.
"""

import os
import select
import signal
import sys
import threading

PIPES = os.dup(0), os.dup(1)
null = os.open(os.devnull, os.O_RDONLY)
os.dup2(null, 0)
os.close(null)
os.dup2(2, 1)


def guard(child):
    os.close(PIPES[1])
    os.dup2(0, 1)
    os.dup2(0, 2)

    def watch():
        poll = select.poll()
        poll.register(PIPES[0], 0)
        # Without events of its own, this waits for the end of the pipe.
        while not poll.poll():
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    _, status = os.waitpid(child, 0)
    os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


child = os.fork()
if child:
    guard(child)
