"""Runs the service as a user does, and asks `resnet predict` what it must answer."""
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
PHOTOS = [PROJECT / "docs/photos", PROJECT / "crates/data/tests/photos"]
CLASSES = 10  # of the demo


class Failed(Exception):
    """What was seen in place of what was stated."""


class Service:
    """A service on a free port, which is ready."""

    def __init__(self, program, *words):
        self.events, self.requests, self.errors = [], 0, []
        self.news = threading.Condition()
        # While it is cleared nobody reads the log.
        self.reads = threading.Event()
        self.reads.set()
        command = [str(program), "serve", "--port", "0", *map(str, words)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        threading.Thread(target=self.listen, daemon=True).start()
        ready = self.wait_for("ready")
        self.port = int(ready["url"].rstrip("/").rpartition(":")[2])
        self.memory = ready["memory"]

    def listen(self):
        """Keeps the lines of the log, but counts those of requests."""
        rest = b""
        while self.reads.wait() and (block := os.read(self.process.stderr.fileno(), 1 << 20)):
            *lines, rest = (rest + block).split(b"\n")
            with self.news:
                for line in lines:
                    if b'"event":"request"' not in line:
                        self.events.append(json.loads(line) if line.startswith(b"{") else {"event": line.decode()})
                        continue
                    self.requests += 1
                    if b'"status":5' in line:
                        self.errors.append(line.decode())
                self.news.notify_all()
        with self.news:
            self.events.append({"event": "closed"})
            self.news.notify_all()

    def wait_for(self, event, after=0, seconds=60):
        """Waits for an event of the log that is not among the first `after` ones."""
        until = time.monotonic() + seconds
        with self.news:
            while True:
                found = next((e for e in self.events[after:] if e["event"] == event), None)
                if found:
                    return found
                if self.events and self.events[-1]["event"] == "closed":
                    raise Failed(f"it ended before `{event}`: {self.events[-3:-1]}")
                if not self.news.wait(until - time.monotonic()):
                    raise Failed(f"no event `{event}` within {seconds} s: {self.events[-3:]}")

    def kib(self, name):
        """A line of the process's status: VmRSS, VmHWM."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise Failed("it has ended")

    def megabytes(self, name="VmRSS"):
        return self.kib(name) * 1024 / 1e6

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Ends it; fails unless it ends well."""
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("it does not end within 60 s of SIGTERM") from None
        if code != 0:
            raise Failed(f"it ends with {code}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def run(program, *words, may_fail=False):
    """Runs another verb, and returns what it prints."""
    done = subprocess.run([str(program), *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0 and not may_fail:
        raise Failed(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def predicted(program, model, *photos):
    """What `predict` answers for photos: by file, every class in order with its probability."""
    words = ["predict", model, *photos, "--json", "--top", CLASSES, "--quiet"]
    # Some photos are of formats that it refuses.
    lines = run(program, *words, may_fail=True).splitlines()
    answers = {answer["file"]: answer["top"] for answer in map(json.loads, lines) if "top" in answer}
    if not answers:
        raise Failed(f"`predict {model}` answers nothing")
    return {pathlib.Path(file): top for file, top in answers.items()}
