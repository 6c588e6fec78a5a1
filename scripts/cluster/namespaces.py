"""Two machines on one: a pair of Linux network namespaces with host names of their own, joined by a link."""
import os
import pathlib
import shutil
import signal
import subprocess

from .launch import Failed, kill

PREFIX = "resnet-pair"
SETTINGS = pathlib.Path("/etc/netns")  # where `ip netns exec` finds files that replace those in /etc
TOOLS = ("ip", "tc", "unshare", "hostname")
ADDRESSES = ("10.213.0.1", "10.213.0.2")
HOSTS = "127.0.0.1 localhost\n" + "".join(f"{address} node{side}\n" for side, address in enumerate(ADDRESSES))
# As a launcher calls ssh: options, the host, and a command for its shell.
AGENT = """#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
host=$1
shift
exec ip netns exec "{name}-${{host#node}}" unshare --uts sh -c "hostname $host && $*"
"""


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


class Pair:
    """Namespaces of the hosts `node0` and `node1`, until the end of the block. Needs root.

    `rate` caps each direction of the link, such as 1gbit. `folder` is for the file `agent`, which stands in for ssh.
    """

    device = "wire"

    def __init__(self, folder, rate=None):
        absent = [tool for tool in TOOLS if not shutil.which(tool)]
        if os.geteuid() != 0 or absent:
            raise Failed("namespaces need root, and ip and tc (Debian: iproute2), unshare and hostname")
        self.name = f"{PREFIX}-{os.getpid()}"
        self.sides = [f"{self.name}-{side}" for side in (0, 1)]
        self.agent, self.rate = folder / "agent", rate

    def __enter__(self):
        remove_left_over()
        try:
            self.make()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def make(self):
        self.agent.write_text(AGENT.format(name=self.name))
        self.agent.chmod(0o755)
        for side in self.sides:
            run("ip", "netns", "add", side)
            folder = SETTINGS / side
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts").write_text(HOSTS)
        run("ip", "-n", self.sides[0], "link", "add", "name", self.device, "type", "veth",
            "peer", "name", self.device, "netns", self.sides[1])
        for side, address in zip(self.sides, ADDRESSES):
            run("ip", "-n", side, "address", "add", f"{address}/24", "dev", self.device)
            for device in ("lo", self.device):
                run("ip", "-n", side, "link", "set", device, "up")
            if self.rate:
                run("tc", "-n", side, "qdisc", "add", "dev", self.device, "root", "tbf",
                    "rate", self.rate, "burst", "256kb", "latency", "50ms")

    def remove(self):
        for side in self.sides:
            remove(side)

    def within(self, side, words):
        """The words that run a command on one side."""
        setup = f'hostname node{side} && exec "$@"'
        return ["ip", "netns", "exec", self.sides[side], "unshare", "--uts", "sh", "-c", setup, "sh", *words]

    def check_devices(self):
        """UCX looks for devices in /sys/class/net: `ip netns exec` must have mounted that of the namespace."""
        for side in (0, 1):
            found = run(*self.within(side, ["ls", "/sys/class/net"])).split()
            if self.device not in found:
                raise Failed(f"/sys/class/net of {self.sides[side]} has {found}, not {self.device}, which MPICH needs")

    def cut(self):
        """Pulls the cable."""
        run("ip", "-n", self.sides[1], "link", "set", self.device, "down")


def remove(side):
    """Ends what runs in a namespace, and removes it with its end of the link, if it is there."""
    listed = subprocess.run(["ip", "netns", "pids", side], capture_output=True, text=True)
    for process in listed.stdout.split():
        kill(int(process), signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", side], capture_output=True)
    shutil.rmtree(SETTINGS / side, ignore_errors=True)


def remove_left_over():
    """Removes the pairs of programs that were killed."""
    for line in run("ip", "netns", "list").splitlines():
        side = line.split()[0]
        if side.startswith(f"{PREFIX}-") and not pathlib.Path("/proc", side.split("-")[2]).exists():
            remove(side)
