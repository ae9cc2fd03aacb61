"""A process that steps environments for the trainer, which sent this script.

Requests come through its standard input and answers go through its standard output, which are pipes to the trainer. Both are
taken away from the environments: what they print goes to standard error, which the trainer captures. Steps are announced and
their numbers are exchanged in shared memory. `spaces.py`, `goals.py`, `hosted.py` and `making.py` stand in front of this file.
"""

import json
import mmap
import os
import select
import struct
import sys
import threading
import time

# A request: what, the number of the environment, and the length of the JSON behind it. An answer: what, and a length.
REQUEST = struct.Struct("<BxHI")
ANSWER = struct.Struct("<BxxxI")
STEP, JSON, RESET = 0, 1, 2
STEPPED, DONE, FAILED = 0, 1, 2
STEPPED_ANSWER = ANSWER.pack(STEPPED, 0)
# Words in shared memory, 8 bytes each; those that the worker writes are in a cache line of their own.
REQUESTED, TRAINER_SLEEPS, ANSWERED, WORKER_SLEEPS = 0, 1, 8, 9
# Above this is the number of the request, and below it what it is: 40 bits are enough for any run.
COUNT = 1 << 24
IN_PIPE = COUNT - 1
# Below this bit is the number of the environment.
RESETS = 1 << 16
# Time for which a request is polled for before the process sleeps, if the last came within it: a few times as long as waking
# the process takes.
POLL_S = 200e-6
# Looks into memory between looks at the clock: about 3 µs.
LOOKS = range(50)
# A sleeping process looks again after so long.
LOOK_AGAIN_MS = 100
# Taking it is a memory barrier: a word that was written is seen by others before the next one is read.
FENCE = threading.Lock()

forked = False


class Served(Hosted):
    """An environment whose rows are in memory that the trainer sees."""

    def map(self, memory, layout):
        row = np.frombuffer(memory, np.float32, layout["actions"], layout["action"])
        out = np.frombuffer(memory, self.dtype(), layout["observations"], layout["observation"])
        # Faster than an array for single numbers.
        self.place(row, out, memoryview(memory)[layout["end"] : layout["end"] + 16].cast("d"))

    def returned(self):
        leave_if_forked()


class Trainer:
    """The way to the trainer: pipes, and once memory is shared, words in it that both sides poll for a while.

    A request adds one to the count in the word `REQUESTED`. What is below the count is the number of the environment to be
    stepped, with `RESETS` to be reset without a seed, or `IN_PIPE`. An answer to the first two is the same count in
    `ANSWERED`, and below it whether they failed. A side that has stopped polling says so in its word `…_SLEEPS`, and is
    woken by a header in its pipe.
    """

    def __init__(self, requests, answers):
        self.requests, self.answers = requests, answers
        self.poll = select.poll()
        self.poll.register(requests, select.POLLIN)
        self.words = None
        self.seen = 0
        self.poll_s = 0.0
        self.is_quick = False

    def share(self, memory, polls):
        self.words = memoryview(memory).cast("Q")
        # The request to share it came through the pipe alone.
        self.seen = self.words[REQUESTED]
        self.poll_s = POLL_S if polls else 0.0

    def request(self):
        """Waits for a request: what, the number of its environment, and the content of JSON.

        Raises `EOFError` when the trainer is gone.
        """
        words, seen, began = self.words, self.seen, time.perf_counter()
        if self.is_quick:
            until = began + self.poll_s
            while time.perf_counter() < until:
                for _ in LOOKS:
                    if words[REQUESTED] > seen:
                        return self.announced()
        if words is None:
            return self.from_pipe()
        words[WORKER_SLEEPS] = 1
        with FENCE:
            pass
        # First, what woke the last sleep in vain is read, so that it does not pile up.
        wait_ms = 0
        try:
            while True:
                if self.poll.poll(wait_ms):
                    what, env, length = REQUEST.unpack(self.read(REQUEST.size))
                    if what == JSON:
                        # The trainer announces it after it has written it, perhaps after the answer.
                        self.seen = seen - seen % COUNT + COUNT + IN_PIPE
                        return JSON, env, self.content(length)
                if words[REQUESTED] > seen:
                    return self.announced()
                wait_ms = LOOK_AGAIN_MS
        finally:
            words[WORKER_SLEEPS] = 0
            self.is_quick = time.perf_counter() - began < self.poll_s

    def announced(self):
        """The request that the word announces."""
        self.seen = self.words[REQUESTED]
        what = self.seen % COUNT
        if what < RESETS:
            return STEP, what, None
        return self.from_pipe() if what == IN_PIPE else (RESET, what - RESETS, None)

    def from_pipe(self):
        """The next request in the pipe."""
        while True:
            what, env, length = REQUEST.unpack(self.read(REQUEST.size))
            if what == JSON:
                return JSON, env, self.content(length)
            if self.words is None:
                return what, env, None

    def content(self, length):
        """JSON of this length, with the bytes that it announces behind it."""
        content = json.loads(self.read(length))
        if "data" in content:
            content["data"] = self.read(content["data"])
        return content

    def read(self, length):
        data = b""
        while len(data) < length:
            more = os.read(self.requests, length - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def done(self, failed=False):
        """Tells that a step or a reset without a seed has ended. Why it failed follows through the pipe."""
        words = self.words
        if words is not None:
            words[ANSWERED] = self.seen - self.seen % COUNT + failed
            with FENCE:
                pass
        if not failed and (words is None or words[TRAINER_SLEEPS]):
            os.write(self.answers, STEPPED_ANSWER)

    def answer(self, what, content, data=b""):
        if "message" in content:
            # Paths and names of files may hold bytes that are no text.
            content["message"] = content["message"].encode("utf-8", "replace").decode()
        text = json.dumps({**content, "data": len(data)}).encode()
        message = memoryview(ANSWER.pack(what, len(text)) + text + data)
        while message:
            message = message[os.write(self.answers, message) :]


def leave_if_forked():
    """Ends a copy of this process that an environment made and that came back here."""
    if forked:
        os._exit(1)


def serve(trainer):
    hosted = []
    while True:
        try:
            what, env, content = trainer.request()
        except EOFError:
            return
        try:
            if what == STEP:
                hosted[env].step()
                trainer.done()
                continue
            if what == RESET:
                hosted[env].reset()
                trainer.done()
                continue
            data, doing = b"", content["do"]
            if doing == "make":
                hosted.append(Served(make(content)))
                result = hosted[-1].description
            elif doing == "map":
                with open(content["file"], "r+b") as file:
                    memory = mmap.mmap(file.fileno(), content["size"])
                for one, layout in zip(hosted, content["layouts"]):
                    one.map(memory, layout)
                if content["words"]:
                    trainer.share(memory, content["polls"])
                result = {}
            elif doing == "reset":
                hosted[env].reset(content["seed"], content["generator"])
                result = {}
            elif doing == "generator":
                result = {"generator": hosted[env].generator()}
            elif doing == "goals":
                result, data = {}, hosted[env].goal_outcomes(content["count"], content["data"])
            elif doing == "render":
                result, data = hosted[env].render()
            elif doing == "close":
                for one in hosted:
                    one.env.close()
                trainer.answer(DONE, {})
                return
            leave_if_forked()
            trainer.answer(DONE, result, data)
        except BaseException as error:  # also SystemExit: an environment must not end the process without a word
            leave_if_forked()
            if what != JSON:
                trainer.done(failed=True)
            option = {"option": error.option, "message": str(error)} if isinstance(error, Wrong) else None
            trainer.answer(FAILED, option or {"message": explained(error)})


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
