"""Runs the program as a user does, and judges what it says."""
import dataclasses
import hashlib
import os
import signal
import struct
import subprocess
import threading
import time

LIMIT = 120  # seconds for one command; none of them takes more than a few
NOBODY = 65534
TINY = ["--arch", "resnet8", "--image-size", "32", "--threads", "1"]


class Skipped(Exception):
    """A case that this machine cannot make."""


class Failed(Exception):
    """What was seen in place of what was stated."""


@dataclasses.dataclass
class Seen:
    code: int
    text: str

    def line(self, text):
        """The line that has this text, without what surrounds it."""
        return next((line.strip() for line in self.text.splitlines() if text in line), "")

    def expect(self, code, *texts):
        """Fails unless the exit code is this and a line has each text. Returns the first such line, if any."""
        faults = [f"no line has `{text}`" for text in texts if not self.line(text)]
        errors = sum(line.startswith("error: ") for line in self.text.splitlines())
        if self.code != code:
            faults.append(f"exit code {self.code}, not {code}")
        if errors != (code != 0):
            faults.append(f"{errors} lines of errors")
        if "panicked" in self.text:
            faults.append("it panicked")
        if any(not (c.isprintable() or c in "\n\u200d\ufe0f") for c in self.text):
            faults.append("it prints control characters")
        if faults:
            raise Failed("; ".join(faults) + "\n" + self.text.rstrip())
        return self.line(texts[0]) if texts else ""


class Program:
    def __init__(self, program, home):
        self.program = str(program)
        # User and group of those whom permissions stop.
        self.ordinary = (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        # No cache of the user's is read or filled.
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(home / "cache"), "HOME": str(home)}

    def start(self, where, *words, before=(), ordinary=False):
        """Starts a command: after the words `before`, or as a user whom permissions stop."""
        user = {}
        if ordinary and os.geteuid() == 0:
            user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        try:
            # Without a buffer, since `communicate` reads what lines were not read before it.
            process = subprocess.Popen(
                [*before, self.program, *map(os.fspath, words)], cwd=where, env=self.environment, bufsize=0,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **user)
        except PermissionError:
            raise Skipped(f"user {NOBODY} cannot run {self.program}") from None
        return Running(process, f"{where}/")

    def run(self, where, *words, **options):
        return self.start(where, *words, **options).end()


class Running:
    """A command that goes on, until it ends or is found to hang."""

    def __init__(self, process, where):
        self.process, self.where = process, where
        self.lines, self.hangs = [], False
        self.timer = threading.Timer(LIMIT, self.give_up)
        self.timer.start()

    def give_up(self):
        self.hangs = True
        self.process.kill()

    def halt(self):
        """Lets the program do nothing more until its end is waited for."""
        self.process.send_signal(signal.SIGSTOP)

    def wait_for(self, text):
        """Waits for a line that has this text, and halts the program after it."""
        for line in self.process.stdout:
            self.lines.append(line)
            if text.encode() in line:
                return self.halt()
        raise Failed(f"it ended without `{text}`\n{self.end().text}")

    def wait_until(self, happened, what):
        """Waits until something happened outside, and halts the program then."""
        while not happened():
            if self.process.poll() is not None:
                raise Failed(f"not seen: {what}\n{self.end().text}")
            time.sleep(0.001)
        self.halt()

    def kill(self):
        self.process.kill()
        return self.end()

    def end(self):
        """Lets the program go on to its end."""
        self.process.send_signal(signal.SIGCONT)
        text = b"".join([*self.lines, self.process.communicate()[0]]).decode(errors="backslashreplace")
        self.timer.cancel()
        # Paths as the user gave them.
        text = text.replace(self.where, "")
        if self.hangs:
            raise Failed(f"it takes more than {LIMIT} s\n{text}")
        return Seen(self.process.returncode, text)


def tensors(file):
    """A digest of the tensors of a safetensors file, without its JSON header, which has times."""
    data = file.read_bytes()
    return hashlib.sha256(data[8 + struct.unpack("<Q", data[:8])[0]:]).hexdigest()


def make(folder, tree):
    """Makes what a table states: bytes are files, None is a folder, functions make what else there is."""
    folder = os.fsencode(folder)
    os.makedirs(folder, exist_ok=True)
    for name, content in tree.items():
        path = os.path.normpath(os.path.join(folder, os.fsencode(name)))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if content is None:
            os.mkdir(path)
        elif callable(content):
            content(path)
        else:
            with open(path, "wb") as file:
                file.write(content)


def link(target):
    return lambda path: os.symlink(os.fsencode(target), path)


def unreadable(content):
    """A file, or an empty folder where there is no content, that its owner alone may read, and does not."""
    def write(path):
        make(os.path.dirname(path), {os.path.basename(path): content})
        os.chmod(path, 0)
    return write


def cats_and_dogs(number=5, under="", first=0, classes=("cat", "dog")):
    """So many photos of each class, which all differ."""
    from .pictures import png
    return {f"{under}{name}/{i}.png": png(first + number * label + i)
            for label, name in enumerate(classes) for i in range(number)}
