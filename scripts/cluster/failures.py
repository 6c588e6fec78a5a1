"""What goes wrong around a group of processes: all of them must end, soon, and say why."""
import glob
import os
import shutil
import signal

from .bits import GONE, train
from .launch import Failed, command, kill
from .namespaces import Pair

# It does not end by itself.
ENDLESS = ["--arch", "resnet8", "--epochs", 100_000, "--limit-train", 512, "--limit-test", 50, "--batch-size", 64,
           "--dtype", "fp32", "--threads", 1]
CUT = 75  # the exit code after a link was lost
LIBRARIES = {"openmpi": "libmpi.so.40", "mpich": "libmpich.so.12"}


def started(program, run, options, *words, **how):
    """A training that has finished an epoch."""
    shutil.rmtree(run, ignore_errors=True)
    job = program.start(*train(options, run, *ENDLESS, *words), **how)
    metrics = run / "metrics.jsonl"
    job.wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0, "the end of an epoch")
    return job


def expect_error(job, code, *texts):
    """Fails unless the job failed with an error that has each of the texts. Returns the first line of it."""
    text = job.text()
    faults = [f"nothing says `{words}`" for words in texts if words not in text]
    if code == 0:
        faults.append("exit code 0")
    if "panicked" in text:
        faults.append("it panicked")
    if not job.errors():
        faults.append("no line begins with `error:`")
    if faults:
        raise Failed(f"{'; '.join(faults)}: {job}\n{text}")
    return job.errors()[0]


def killed(program, folder, options):
    """One process is killed, the first or the last: all others end."""
    times = []
    for launcher in options.launchers:
        for processes in (2, 4):
            for place in (0, -1):
                job = started(program, folder / "run", options, launcher=launcher, processes=processes)
                victims = sorted(program.processes())
                if len(victims) != processes:
                    raise Failed(f"{len(victims)} processes run, not {processes}: {job}\n{job.text()}")
                kill(victims[place], signal.SIGKILL)
                took, code = job.gone(GONE)
                if code == 0:
                    raise Failed(f"exit code 0 after a kill: {job}\n{job.text()}")
                times.append(took)
                options.say(f"{launcher}, {processes} processes: gone in {took:.1f} s, exit code {code}")
    return f"{len(times)} kills, all processes gone within {max(times):.1f} s"


# Notes what a process ends with: the launcher may be cut off from its own daemon, and never end.
NOTES_CODE = """#!/bin/sh
"$@"
code=$?
echo $code >> "{file}"
exit $code
"""


def link(program, folder, options):
    """The link between two machines is cut: the processes of both end after the timeout."""
    seen = []
    for launcher in options.mpi:
        codes, wrapper = folder / f"codes-{launcher}", folder / "wrapper"
        wrapper.write_text(NOTES_CODE.format(file=codes))
        wrapper.chmod(0o755)
        with Pair(folder) as pair:
            if launcher == "mpich":
                pair.check_devices()
            words = ["--comm-timeout", f"{options.timeout}s"]
            job = started(program, folder / "run", options, *words, launcher=launcher, processes=2, pair=pair,
                          wrapper=[wrapper])
            pair.cut()
            took = job.processes_gone(options.timeout + GONE)
            line = expect_error(job, CUT)
            found = codes.read_text().split() if codes.exists() else []
            ended = job.process.poll() is not None
            job.stop()
        # A launcher that notices first kills its processes.
        if str(CUT) not in found or set(found) - {str(CUT), "137", "143"}:
            raise Failed(f"exit codes {found}, not {CUT}: {job}\n{job.text()}")
        options.say(f"{launcher}: {line}; exit codes {found}; the launcher {'ended too' if ended else 'still waits'}")
        seen.append(f"{launcher} {took:.1f} s")
    return f"exit code {CUT}; all processes gone {', '.join(seen)} after the cut, --comm-timeout {options.timeout}s"


def disk(program, folder, options):
    """The disk of process 0 is full: all end, and one line says why."""
    seen = []
    for launcher in options.launchers:
        run = folder / f"run-{launcher}"
        run.mkdir()
        # Less than a checkpoint; gone with the last process that sees it.
        mount = f'mount -t tmpfs -o size={options.disk} none "$0" && exec "$@"'
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        before = ["unshare", *as_root, "--mount", "sh", "-c", mount, run]
        job = program.start(*train(options, run, *ENDLESS), launcher=launcher, processes=2, before=before)
        code = job.end()
        job.gone(GONE)
        if code == CUT:
            raise Failed(f"exit code {CUT} for a full disk: {job}\n{job.text()}")
        seen.append(expect_error(job, code, "No space left on device"))
    return seen[0]


def library(name):
    found = glob.glob(f"/usr/lib/*/{name}") + glob.glob(f"/lib/*/{name}")
    if not found:
        raise Failed(f"no {name} in /usr/lib/*")
    return found[0]


def refused(program, folder, options, launcher, name):
    """A group with a library that cannot work must not train, least of all each process for itself."""
    run, file = folder / f"run-{launcher}-{name}", library(name)
    how = {"launcher": launcher, "processes": 2, "environment": {"RESNET_MPI": file}}
    job = program.start(*train(options, run, *ENDLESS), **how)
    code = job.end(60)
    job.gone(GONE)
    line = expect_error(job, code)
    if file not in job.text() and "RESNET_MPI" not in job.text():
        raise Failed(f"nothing names {file} or RESNET_MPI: {job}\n{job.text()}")
    if (run / "metrics.jsonl").exists():
        raise Failed(f"it trained: {job}\n{job.text()}")
    return line


def launcher(program, folder, options):
    """The library of one MPI under the launcher of another."""
    seen = []
    for name in options.launchers:
        for other, file in LIBRARIES.items():
            if other != name:
                seen.append(refused(program, folder, options, name, file))
                options.say(f"{file} under {command(name, 2)[0]}: {seen[-1]}")
    return f"{len(seen)} refused"


def no_mpi(program, folder, options):
    """A library that is no MPI."""
    return [refused(program, folder, options, name, "libm.so.6") for name in options.launchers][0]


PARTS = {"killed": killed, "link": link, "disk": disk, "launcher": launcher, "library": no_mpi}
