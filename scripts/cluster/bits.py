"""The same bits for any number of processes, of threads, and for any launcher; also after signals and kills."""
import random
import shutil
import signal
import time

from .launch import Failed, difference, kill, outcome

SHARDS = 4
PROCESSES = (1, 2, 4)
# Batches of 40 that give shards of 10, and a last one of 2, which leaves shards empty.
EVEN = ["--arch", "resnet20", "--epochs", 2, "--limit-train", 322, "--limit-test", 50, "--batch-size", 40]
# Long enough to be disturbed; batches of 50 give shards of 12 and 13.
LONG = ["--arch", "resnet8", "--epochs", 4, "--limit-train", 2000, "--limit-test", 100, "--batch-size", 50]
GONE = 10  # seconds that processes may live after one of them was killed
STOPPED = 60  # seconds from a signal to the end of a run that saves


def train(options, out, *words):
    """The words of a training, which starts in the folder `out`."""
    data_dir = ["--data-dir", options.data_dir] if options.data_dir else []
    return ["train", options.data, "--recipe", "walkthrough", "--seed", 3, "--ui", "log", "--out", out,
            *data_dir, *words]


def ways(options):
    """How a training with four shards may be run: alone, or by each launcher in two and four processes."""
    yield {"launcher": None, "processes": 1}
    for launcher in options.launchers:
        for processes in PROCESSES[1:]:
            yield {"launcher": launcher, "processes": processes}


def named(way):
    return f"{way['processes']} processes of {way['launcher']}" if way["launcher"] else "one process"


def bits(program, folder, options):
    """Runs of one training in all ways, with each dtype and wire, with one thread and with two."""
    runs, faults = 0, []
    for dtype in ("fp32", "bf16"):
        for wire in ("fp32", "bf16"):
            expected = None
            for way in ways(options):
                for threads in (1, 2):
                    run = folder / "run"
                    shutil.rmtree(run, ignore_errors=True)
                    program.run(*train(options, run, *EVEN, "--shards", SHARDS, "--dtype", dtype, "--wire", wire,
                                       "--threads", threads), **way)
                    found = outcome(run)
                    expected = expected or found
                    runs += 1
                    differs = difference(expected, found)
                    words = f"--dtype {dtype} --wire {wire}, {named(way)}, {threads} threads"
                    options.say(f"{words}: {differs or 'equal'}")
                    if differs:
                        faults.append(f"{words}: {differs}")
    if faults:
        raise Failed("\n".join([f"{len(faults)} of {runs} runs differ from that of one process", *faults]))
    return f"{runs} runs, equal for every number of processes and threads, and every launcher"


class Disturbed:
    """A run that is stopped and resumed, and the outcome of the same run in peace."""

    def __init__(self, program, folder, options):
        self.program, self.folder, self.options = program, folder, options
        self.words = [*LONG, "--shards", SHARDS, "--dtype", "fp32", "--threads", 1]
        self.chance = random.Random(options.seed)
        whole, start = folder / "whole", time.monotonic()
        program.run(*train(options, whole, *self.words))
        self.seconds, self.expected = time.monotonic() - start, outcome(whole)
        self.ways, self.way = list(ways(options)), None
        self.begin()

    def begin(self):
        self.run = self.folder / "run"
        shutil.rmtree(self.run, ignore_errors=True)

    def start(self):
        """Starts or resumes the run, in another number of processes than before."""
        before = self.way and self.way["processes"]
        self.way = self.chance.choice([way for way in self.ways if way["processes"] != before])
        # A run that was killed before it wrote its settings has nothing to resume.
        if (self.run / "config.toml").exists():
            return self.program.start("train", "--resume", self.run, "--threads", 1, "--ui", "log", **self.way)
        self.begin()
        return self.program.start(*train(self.options, self.run, *self.words), **self.way)

    def trains(self):
        """Whether an epoch is over."""
        file = self.run / "metrics.jsonl"
        return file.exists() and file.read_bytes().count(b"\n") > 0

    def compare(self):
        if differs := difference(self.expected, outcome(self.run)):
            raise Failed(f"the run differs from that in peace: {differs}")


def kills(program, folder, options):
    """Kills a random process at a random instant, and resumes with another number of them, again and again."""
    lab, done, finished, slowest = Disturbed(program, folder, options), 0, 0, 0.0
    while done < options.kills or finished == 0:
        job = lab.start()
        time.sleep(lab.chance.uniform(0, lab.seconds))
        victims = program.processes()
        if done < options.kills and victims and job.process.poll() is None:
            kill(lab.chance.choice(victims), signal.SIGKILL)
            took, code = job.gone(GONE)
            if code != 0:
                slowest, done = max(slowest, took), done + 1
                options.say(f"kill {done} of {named(lab.way)}: gone in {took:.1f} s, exit code {code}")
                continue
        elif (code := job.end()) != 0:
            raise Failed(f"exit code {code} of {job}\n{job.text()}")
        # It came to its end.
        lab.compare()
        finished += 1
        lab.begin()
    return f"{done} kills, {finished} runs, each equal to that in peace; all processes gone within {slowest:.1f} s"


def signals(program, folder, options):
    """A signal to the launcher: all processes stop, the run is saved, and another number of them goes on."""
    lab, seen = Disturbed(program, folder, options), []
    for number in (signal.SIGUSR1, signal.SIGINT):
        for way in lab.ways:
            lab.begin()
            job = program.start(*train(options, lab.run, *lab.words), **way)
            job.wait_for(lab.trains, "the end of an epoch")
            kill(job.process.pid, number)
            took, code = job.gone(STOPPED)
            # MPICH's launcher itself ends with 0 after Ctrl-C, whatever its processes end with.
            if code == 0 and not (number == signal.SIGINT and way["launcher"] == "mpich"):
                raise Failed(f"exit code 0 after {number.name}: {job}\n{job.text()}")
            lab.way = way
            resumed = lab.start()
            if (end := resumed.end()) != 0:
                raise Failed(f"exit code {end} of {resumed}\n{resumed.text()}")
            lab.compare()
            seen.append(f"{number.name} {named(way)} {code}")
            options.say(f"{number.name} to {named(way)}: gone in {took:.1f} s, exit code {code}; resumed, equal")
    return f"equal after {len(seen)} stops; exit codes: {', '.join(seen)}"


PARTS = {"bits": bits, "kills": kills, "signals": signals}
