"""A process that steps environments for the trainer, which sent this script.

It reads requests from its standard input and answers on its standard output, which are pipes to the trainer, and takes both
away from the environments: what they print goes to standard error, which the trainer captures. Numbers of a step are in
shared memory. `spaces.py`, `hosted.py` and `making.py` stand in front of this file.
"""

import json
import mmap
import os
import select
import struct
import sys

# A request: what, the number of the environment, and the length of the JSON behind it. An answer: what, and a length.
REQUEST = struct.Struct("<BxHI")
ANSWER = struct.Struct("<BxxxI")
STEP, JSON = 0, 1
STEPPED, DONE, FAILED = 0, 1, 2
# Non-blocking reads before the process sleeps: about as long as it takes to wake a sleeping process.
READS_BEFORE_SLEEP = 40

forked = False


def share(hosted, memory, layout):
    """Places the rows of an environment in memory that the trainer sees."""
    row = np.frombuffer(memory, np.float32, layout["actions"], layout["action"])
    out = np.frombuffer(memory, hosted.dtype(), layout["observations"], layout["observation"])
    hosted.place(row, out, np.frombuffer(memory, np.float64, 2, layout["end"]))


class Trainer:
    """The pipes to the trainer."""

    def __init__(self, requests, answers):
        self.requests, self.answers = requests, answers
        self.poll = select.poll()
        self.poll.register(requests, select.POLLIN)
        os.set_blocking(requests, False)

    def header(self):
        for _ in range(READS_BEFORE_SLEEP):
            try:
                return os.read(self.requests, REQUEST.size)
            except BlockingIOError:
                pass
        while True:
            self.poll.poll()
            try:
                return os.read(self.requests, REQUEST.size)
            except BlockingIOError:
                pass

    def request(self):
        """The next request, or `None` when the trainer is gone."""
        header = self.header()
        if len(header) < REQUEST.size:
            return None
        what, env, length = REQUEST.unpack(header)
        text = b""
        while len(text) < length:
            self.poll.poll()
            more = os.read(self.requests, length - len(text))
            if not more:
                return None
            text += more
        return what, env, json.loads(text) if text else {}

    def answer(self, what, content=None, data=b""):
        if forked:
            # A copy of this process that an environment made and that came back here.
            os._exit(1)
        if what == STEPPED:
            os.write(self.answers, STEPPED_ANSWER)
            return
        if "message" in content:
            # Paths and names of files may hold bytes that are no text.
            content["message"] = content["message"].encode("utf-8", "replace").decode()
        text = json.dumps({**content, "data": len(data)}).encode()
        message = memoryview(ANSWER.pack(what, len(text)) + text + data)
        while message:
            message = message[os.write(self.answers, message) :]


STEPPED_ANSWER = ANSWER.pack(STEPPED, 0)


def serve(trainer):
    hosted = []
    while True:
        request = trainer.request()
        if request is None:
            return
        what, env, content = request
        try:
            if what == STEP:
                hosted[env].step()
                trainer.answer(STEPPED)
                continue
            data, doing = b"", content["do"]
            if doing == "make":
                hosted.append(Hosted(make(content)))
                result = hosted[-1].description
            elif doing == "map":
                with open(content["file"], "r+b") as file:
                    memory = mmap.mmap(file.fileno(), content["size"])
                for one, layout in zip(hosted, content["layouts"]):
                    share(one, memory, layout)
                result = {}
            elif doing == "reset":
                result = {"generator": hosted[env].reset(content["seed"], content["generator"])}
            elif doing == "render":
                result, data = hosted[env].render()
            elif doing == "close":
                for one in hosted:
                    one.env.close()
                trainer.answer(DONE, {})
                return
            trainer.answer(DONE, result, data)
        except Wrong as error:
            trainer.answer(FAILED, {"option": error.option, "message": str(error)})
        except BaseException as error:  # also SystemExit: an environment must not end the process without a word
            trainer.answer(FAILED, {"message": explained(error)})


def after_fork():
    """In a copy that an environment makes of this process: it must not hold the pipes open."""
    global forked
    forked = True
    for pipe in (worker.requests, worker.answers):
        try:
            os.close(pipe)
        except OSError:
            pass


worker = Trainer(*PIPES)
os.register_at_fork(after_in_child=after_fork)
serve(worker)
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
