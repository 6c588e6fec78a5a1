"""The programs that are timed: each runs in a process of its own and answers in JSON."""

import json
import os
import platform
import signal
import subprocess
import tempfile
from pathlib import Path

PEERS = Path(__file__).parent / "peers"

# An epoch of `resnet train` has so many images for each second of a measurement, so that it lasts
# some times as long: a run starts with cold caches and an empty queue of batches.
EPOCH_IMAGES_A_SECOND = 2000
DATASET_IMAGES = {"synthetic": 10_000, "cifar10": 50_000}

# What would change how a contestant runs, and is set here or not at all.
OWN_VARIABLES = ("RESNET_ISA", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "OMP_NUM_THREADS")


class Failure(Exception):
    """A contestant could not be measured."""


def open_tool(case, variant, settings):
    threads = variant.threads or settings["threads"]
    kind = {"bench": Bench, "train": Train}.get(variant.tool, Peer)
    return kind(case.work, variant, threads, settings)


def environment(own):
    env = {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES}
    return env | own


def run(command, env):
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
    return done.stdout


class Bench:
    """`resnet bench`."""

    def __init__(self, work, variant, threads, settings):
        self.command = [settings["bin"], "bench", *work.options(), "--threads", str(threads)]
        self.env = environment(variant.env)

    def measure(self, seconds):
        return json.loads(run([*self.command, "--json", "--seconds", str(seconds)], self.env))

    def close(self):
        pass


class Train:
    """An epoch of `resnet train`."""

    def __init__(self, work, variant, threads, settings):
        data = settings["data"]
        self.batch, self.limit = work.batch, DATASET_IMAGES[data]
        self.command = [settings["bin"], "train", data, *work.options("arch", "dtype")]
        self.command += ["--batch-size", str(work.batch), "--threads", str(threads)]
        # A recipe that does not depend on the length of the run.
        self.command += ["--recipe", "walkthrough", "--epochs", "1", "--limit-test", "128", "--ui", "log"]
        if settings["data_dir"]:
            self.command += ["--data-dir", settings["data_dir"]]
        self.env = environment(variant.env)

    def measure(self, seconds):
        batches = min(EPOCH_IMAGES_A_SECOND * seconds, self.limit) // self.batch
        images = self.batch * max(int(batches), 2)
        with tempfile.TemporaryDirectory(prefix="compare-") as folder:
            out = Path(folder) / "run"
            run([*self.command, "--limit-train", str(images), "--out", str(out)], self.env)
            return json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])

    def close(self):
        pass


class Peer:
    """A Python process that is started (and compiles its network) once and measures on request.

    In between it waits for input, which costs no processor time, and ends when there is no more.
    It has a process group of its own, so that an interrupt at the terminal reaches us alone.
    """

    def __init__(self, work, variant, threads, settings):
        script = PEERS / f"{variant.tool}_peer.py"
        self.command = [settings["python"], str(script), "--serve", *work.options()]
        self.command += ["--threads", str(threads), *variant.options]
        self.env = environment(variant.env)
        self.fresh = variant.fresh
        self.process = None

    def measure(self, seconds):
        if self.process is None:
            self.start()
        record = self.ask(f"{seconds}\n")
        if self.fresh:
            self.close()
        return record

    def start(self):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self.command,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            process_group=0,
        )
        self.ask("")

    def ask(self, request):
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the missing answer shows it
        answer = self.process.stdout.readline()
        if answer:
            return json.loads(answer)
        status = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()[-20:]
        self.close()
        raise Failure("\n".join(lines) or f"the peer ended with {status}")

    def close(self):
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            try:
                file.close()
            except BrokenPipeError:
                pass
        self.process = None


def versions(python, tools):
    """The versions of what the peers need, or a failure that says what is missing."""
    needed = []
    if {"torch", "ort", "openvino"} & tools:
        needed += ["torch", "torchvision"]
    if {"ort", "openvino"} & tools:
        needed += ["onnx", "onnxruntime"]
    if "openvino" in tools:
        needed.append("openvino")
    if not needed:
        return {}
    script = (
        "import importlib, json, sys\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = importlib.import_module(name).__version__\n"
        "    except ImportError: pass\n"
        "print(json.dumps(found))\n"
    )
    try:
        found = json.loads(run([python, "-c", script, *needed], dict(os.environ)))
    except OSError as error:
        raise Failure(f"--python {python}: {error.strerror}") from error
    missing = [name for name in needed if name not in found]
    if missing:
        raise Failure(
            f"{python} has no {', '.join(missing)}: `pip install {' '.join(missing)}`, or name "
            "another interpreter with --python"
        )
    return found


def machine(settings):
    """The machine, and what its processor reaches at best as `resnet bench --profile` measures it."""
    about = {"cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform(), "peaks": {}}
    for dtype in ("fp32", "bf16"):
        command = [settings["bin"], "bench", "--arch", "resnet8", "--batch", "1", "--dtype", dtype]
        command += ["--seconds", "0.1", "--threads", str(settings["threads"]), "--profile", "--json"]
        record = json.loads(run(command, environment({})))
        about["isa"] = record["isa"]
        about["peaks"][dtype] = record["peaks"]["gflops_per_second"]
    return about


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
