"""The service ends, or its model is replaced, while clients ask: no request is lost, none is mixed."""
import asyncio
import collections
import os
import shutil
import signal
import time

from . import traffic
from .client import Connection, Lost
from .load import within
from .program import PHOTOS, Failed, Service, predicted, run

CONNECTIONS = 64
ENDS = 20
REPLACEMENTS = 100


class Clients:
    """Clients that ask until they are told to stop, or the service is gone."""

    def __init__(self, port, answers):
        self.port, self.good = port, traffic.good(answers)
        self.stops, self.turn = False, 0
        # When the last byte of a request was sent, and what came of it.
        self.results = []

    async def client(self, keeps):
        connection = Connection(self.port)
        while not self.stops:
            self.turn += 1
            good = self.good[self.turn % len(self.good)]
            sent = None
            try:
                await connection.send(good.data)
                sent = time.monotonic()
                status, _, body = await connection.answer()
                good.check(status, body)
            except (Lost, OSError) as error:
                self.results.append((sent, f"{type(error).__name__} {error}"))
                # There is nobody to ask any more.
                if isinstance(error, ConnectionRefusedError):
                    return
                connection.close()
                continue
            self.results.append((sent, None))
            if not keeps:
                connection.close()
        connection.close()


async def end_under_load(service, answers):
    clients = Clients(service.port, answers)
    tasks = [asyncio.create_task(clients.client(number % 2 == 0)) for number in range(CONNECTIONS)]
    await asyncio.sleep(0.7)
    before = time.monotonic()
    service.signal(signal.SIGTERM)
    await asyncio.gather(*tasks)
    code = await asyncio.to_thread(service.process.wait, 60)
    if code != 0:
        raise Failed(f"it ends with {code}")
    accepted = [error for sent, error in clients.results if sent is not None and sent < before]
    lost = [error for error in accepted if error]
    if lost:
        raise Failed(f"{len(lost)} of {len(accepted)} requests that were sent before SIGTERM: {lost[:3]}")
    partial = [error for _, error in clients.results if error and error.startswith("Lost") and ", 0 bytes" not in error]
    if partial:
        raise Failed(f"answers that break off: {partial[:3]}")
    return len(accepted), sum(1 for sent, error in clients.results if not error and sent >= before)


def end(program, folder, options):
    """SIGTERM under load: every request that was sent before is answered."""
    answers = predicted(program, "demo", *PHOTOS)
    before, after = 0, 0
    for _ in range(ENDS):
        with Service(program, "demo", *options.words) as service:
            one, two = asyncio.run(end_under_load(service, answers))
            before, after = before + one, after + two
    return f"{ENDS} times: {before:,} requests sent before SIGTERM, all answered, and {after:,} sent after it"


class Either(traffic.Good):
    """A request that one model or the other answers."""

    def __init__(self, one, other, seen):
        super().__init__(one.data, one.tops, one.heat_map)
        self.other, self.seen = other, seen

    def check(self, status, body):
        try:
            super().check(status, body)
            self.seen["one"] += 1
        except Failed:
            self.other.check(status, body)
            self.seen["other"] += 1


def models(program, folder):
    """Two networks, which answer otherwise."""
    folder.mkdir(exist_ok=True)
    run(program, "convert", "demo", folder / "one.safetensors")
    words = ["--arch", "resnet8", "--epochs", 1, "--limit-train", 64, "--limit-test", 32, "--quiet"]
    run(program, "train", "synthetic", *words, "--out", folder / "run")
    run(program, "convert", folder / "run", folder / "other.safetensors")
    return folder / "one.safetensors", folder / "other.safetensors"


async def replace_under_load(service, net, sources, good):
    clients = Clients(service.port, {})
    clients.good = good
    tasks = [asyncio.create_task(clients.client(number % 2 == 0)) for number in range(CONNECTIONS)]
    slowest = 0
    for number in range(1, REPLACEMENTS + 1):
        await asyncio.sleep(0.05)
        damaged = number % 10 == 0
        new = net.with_suffix(".new")
        shutil.copyfile(sources[number % 2], new)
        if damaged:
            os.truncate(new, new.stat().st_size // 2)
        seen, start = len(service.events), time.monotonic()
        os.replace(new, net)
        service.signal(signal.SIGHUP)
        event = "load_failed" if damaged else "loaded"
        await asyncio.to_thread(service.wait_for, event, seen)
        slowest = max(slowest, time.monotonic() - start)
        for task in tasks:
            if task.done():
                await task
    clients.stops = True
    await asyncio.gather(*tasks)
    failed = [error for _, error in clients.results if error]
    if failed:
        raise Failed(f"{len(failed)} requests failed: {failed[:3]}")
    return len(clients.results), slowest


def replacement(program, folder, options):
    """A model is replaced 100 times under load, by damaged files as well."""
    sources = models(program, folder / "models")
    net, seen = folder / "net.safetensors", collections.Counter()
    shutil.copyfile(sources[0], net)
    one, other = (traffic.good(predicted(program, source, *PHOTOS)) for source in sources)
    if one[0].tops == other[0].tops:
        raise Failed("both models answer the same")
    good = [Either(*pair, seen) for pair in zip(one, other)]
    with Service(program, net, *options.words) as service:
        requests, slowest = asyncio.run(replace_under_load(service, net, sources, good))
        memory = within(service)
        service.end()
    if min(seen.values()) == 0:
        raise Failed(f"one model answered nothing: {dict(seen)}")
    return (f"{REPLACEMENTS} replacements, {REPLACEMENTS // 10} by damaged files, the slowest {slowest:.2f} s; "
            f"{requests:,} requests: {seen['one']:,} by one, {seen['other']:,} by the other; "
            f"{memory}")


CASES = {"end": end, "replacement": replacement}
