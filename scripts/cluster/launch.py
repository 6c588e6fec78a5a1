"""Starts the program in several processes, and sees what becomes of them."""
import itertools
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time

LAUNCHERS = ("openmpi", "mpich")
LIMIT = 600  # seconds for one command
# In containers processes may not copy from each other's memory, as Open MPI 4.1 likes to.
ENVIRONMENT = {"OMPI_MCA_btl_vader_single_copy_mechanism": "none"}


class Failed(Exception):
    """What was seen in place of what was stated."""


def command(launcher, processes, pair=None):
    """What stands before the program: for processes here, or with `pair` for one on each of its sides."""
    words = [f"mpirun.{launcher}"]
    if launcher == "openmpi":
        words += ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
        if pair:
            words += ["--host", "node0,node1", "--mca", "plm_rsh_agent", str(pair.agent)]
            # Its daemons stay children of mpirun, which then accounts for their time.
            words += ["--leave-session-attached"]
            words += ["--mca", "btl_tcp_if_include", pair.device, "--mca", "oob_tcp_if_include", pair.device]
    elif pair:
        # The proxy of the launcher's own host is forked, that of the other is started by the agent. `-iface` is where
        # the proxies find the launcher.
        words += ["-launcher", "ssh", "-launcher-exec", str(pair.agent), "-hosts", "node0,node1", "-ppn", "1"]
        words += ["-iface", pair.device]
    words += ["-n", str(processes)]
    return pair.within(0, words) if pair else words


def between_namespaces(launcher, pair):
    """The variables that send messages through the link of a pair."""
    # MPICH takes processes in two namespaces of one kernel for neighbours, unless it is set otherwise.
    found = {"UCX_TLS": "tcp", "MPIR_CVAR_NOLOCAL": "1"}
    if launcher == "mpich":
        # Debian 12's sends by UCX, others by libfabric.
        found |= {"UCX_NET_DEVICES": pair.device, "FI_PROVIDER": "tcp", "FI_TCP_IFACE": pair.device}
    return found


def missing(launchers):
    """The launchers that are not installed."""
    return [name for name in launchers if not shutil.which(f"mpirun.{name}")]


class Program:
    """A copy of the program, by which its processes are distinguished from all others."""

    def __init__(self, binary, scratch):
        self.scratch = scratch
        self.path = scratch / "resnet"
        shutil.copy2(binary, self.path)
        self.numbers = itertools.count()

    def start(self, *words, launcher=None, processes=1, pair=None, before=(), wrapper=(), environment=None):
        """Starts `resnet WORDS`, by a launcher if one is named; `wrapper` stands between the two."""
        words = [*before, *(command(launcher, processes, pair) if launcher else []), *wrapper, self.path, *words]
        more = between_namespaces(launcher, pair) if pair else {}
        log = self.scratch / f"log-{next(self.numbers)}"
        # What the caller of the script has set stays.
        return Job(self, words, {**ENVIRONMENT, **more, **os.environ, **(environment or {})}, log)

    def run(self, *words, **options):
        """Runs `resnet WORDS` to its end, which must be a good one."""
        job = self.start(*words, **options)
        code = job.end()
        if code != 0:
            raise Failed(f"exit code {code}: {job}\n{job.text()}")
        return job

    def processes(self):
        """The numbers of its processes."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    if os.readlink(entry / "exe") == str(self.path):
                        found.append(int(entry.name))
                except OSError:
                    pass  # it has ended, or is not ours to see
        return found

    def end_all(self):
        for process in self.processes():
            kill(process, signal.SIGKILL)


class Job:
    """A command that runs in a session of its own, with its output in a file."""

    def __init__(self, program, words, environment, log):
        self.program, self.words, self.log = program, list(map(str, words)), log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                self.words, env=environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def __str__(self):
        return " ".join(self.words)

    def text(self):
        return self.log.read_text(errors="backslashreplace")

    def errors(self):
        return [line for line in self.text().splitlines() if line.startswith("error:")]

    def end(self, seconds=LIMIT):
        """Waits for the end of the command; returns its exit code as a shell has it."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Failed(f"no end after {seconds:.0f} s: {self}\n{self.text()}") from None
        return code if code >= 0 else 128 - code

    def stop(self):
        """Ends it and all that it has started."""
        kill(-self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.program.end_all()

    def wait_for(self, happened, what):
        """Waits for something that the job does."""
        until = time.monotonic() + LIMIT
        while not happened():
            if self.process.poll() is not None:
                raise Failed(f"it ended before {what}: {self}\n{self.text()}")
            if time.monotonic() > until:
                self.stop()
                raise Failed(f"not seen in {LIMIT} s: {what}: {self}\n{self.text()}")
            time.sleep(0.05)

    def processes_gone(self, seconds):
        """Waits until none of its processes is left; how long that took. The launcher may still be there."""
        start = time.monotonic()
        while left := self.program.processes():
            if time.monotonic() - start > seconds:
                self.stop()
                raise Failed(f"{len(left)} processes still there after {seconds:.0f} s: {self}\n{self.text()}")
            time.sleep(0.05)
        return time.monotonic() - start

    def gone(self, seconds):
        """Waits until none of its processes is left; how long that took, and the exit code of the command."""
        start = time.monotonic()
        while (left := self.program.processes()) or self.process.poll() is None:
            if time.monotonic() - start > seconds:
                who = f"{len(left)} processes" if left else "the launcher"
                self.stop()
                raise Failed(f"{who} still there after {seconds:.0f} s: {self}\n{self.text()}")
            time.sleep(0.05)
        return time.monotonic() - start, self.end()


def kill(process, number):
    try:
        if process < 0:
            os.killpg(-process, number)
        else:
            os.kill(process, number)
    except ProcessLookupError:
        pass


def tensors(file):
    """The tensors of a safetensors file: a length of 8 bytes, a header in JSON, then the data."""
    content = file.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header, data = json.loads(content[8:8 + length]), content[8 + length:]
    header.pop("__metadata__", None)  # it has times
    found = {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
             for name, entry in header.items()}
    if not found:
        raise Failed(f"{file} has no tensors")
    return found


# What a line of metrics.jsonl says of the network; the rest is about time.
RESULTS = ("epoch", "step", "train_loss", "train_accuracy", "test_loss", "test_accuracy")


def outcome(run):
    """The tensors of a run's last checkpoint, and the results of its epochs."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return tensors(run / "last.safetensors"), [[json.loads(line)[name] for name in RESULTS] for line in lines]


def difference(one, other):
    """How the outcomes of two runs differ, or None."""
    (ones, one_epochs), (others, other_epochs) = one, other
    if ones.keys() != others.keys():
        return f"tensors {sorted(ones.keys() ^ others.keys())} are in one only"
    differ = [name for name in ones if ones[name] != others[name]]
    if differ:
        return f"{len(differ)} of {len(ones)} tensors differ, {differ[0]} among them"
    if one_epochs != other_epochs:
        return f"{RESULTS}: {one_epochs} and {other_epochs}"
    return None
