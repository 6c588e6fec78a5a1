"""Many requests at many connections, good ones and bad ones; and as much memory as clients can take."""
import asyncio
import collections
import random
import time

from . import traffic
from .client import Connection, Lost, metrics, request
from .program import CLASSES, PHOTOS, PROJECT, Failed, Service, predicted

CONNECTIONS = 100
SHARES = {"malformed": 0.02, "cut off": 0.01, "slow": 0.01, "bomb": 0.002, "100 MB": 0.0002, "49 megapixels": 0.0002}


def within(service):
    """The peak of memory against the bound that was stated at the start."""
    peak, bound = service.megabytes("VmHWM"), service.memory["total_bytes"] / 1e6
    if peak > bound:
        raise Failed(f"{peak:.0f} MB, and the stated bound is {bound:.0f} MB")
    return f"peak {peak:.0f} MB of the {bound:.0f} MB stated"


class Load:
    def __init__(self, service, answers, large, count):
        self.port = service.port
        self.good = traffic.good(answers)
        photo = (PROJECT / "docs/photos/cat.png").read_bytes()
        self.bad, self.bombs = traffic.bad(photo), traffic.bombs()
        self.large = large
        kinds = [kind for kind, share in SHARES.items() for _ in range(round(count * share))]
        kinds += ["good"] * (count - len(kinds))
        random.shuffle(kinds)
        self.kinds, self.turn = iter(kinds), 0
        self.seen, self.times = collections.Counter(), []

    async def worker(self):
        own = Connection(self.port)
        for kind in self.kinds:
            self.turn += 1
            turn = self.turn
            if kind == "good":
                good = self.good[turn % len(self.good)]
                start = time.monotonic()
                try:
                    good.check(*(await self.ask(own, good.data)))
                except Lost as error:
                    raise Failed(f"a good request is lost: {error}") from None
                self.times.append(time.monotonic() - start)
            else:
                own.close()
                await self.trouble(kind, turn)
            self.seen[kind] += 1
        own.close()

    @staticmethod
    async def ask(connection, data):
        status, _, body = await connection.ask(data)
        return status, body

    async def trouble(self, kind, turn):
        good = self.good[turn % len(self.good)]
        if kind == "malformed":
            await traffic.send_bad(self.port, *self.bad[turn % len(self.bad)])
        elif kind == "cut off":
            await traffic.cut_off(self.port, good.data)
        elif kind == "slow":
            await (traffic.slow_head if turn % 4 == 0 else traffic.slow_body)(self.port, good)
        elif kind == "bomb":
            bomb = request("POST", "/v1/predict", self.bombs[turn % len(self.bombs)])
            await traffic.send_bad(self.port, bomb, {413})
        elif kind == "100 MB":
            await traffic.huge(self.port, turn % 2 == 0)
        else:
            connection = Connection(self.port)
            self.large.check(*(await self.ask(connection, self.large.data)))
            connection.close()


def large(program, folder, side):
    """A photo of many pixels in a small file, and its answer."""
    file = folder / f"large-{side}.png"
    file.write_bytes(traffic.png(side, side))
    top = predicted(program, "demo", file)[file]
    return traffic.Good(request("POST", f"/v1/predict?top_k={CLASSES}", file.read_bytes()), [top])


async def everything(load):
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(load.worker())


async def settled(port):
    """Nothing is left of what clients sent."""
    for _ in range(50):
        values = await metrics(port)
        left = {name: values[name] for name in ("resnet_images_pending", "resnet_connections")}
        # The connection that asks is one.
        if left["resnet_images_pending"] == 0 and left["resnet_connections"] == 1:
            return
        await asyncio.sleep(0.1)
    raise Failed(f"something is left over: {left}")


def load(program, folder, options):
    """100,000 requests at 100 connections, some of each kind of bad ones."""
    answers = predicted(program, "demo", *PHOTOS)
    with Service(program, "demo", "--body-timeout", "10s", *options.words) as service:
        work = Load(service, answers, large(program, folder, 7000), options.requests)
        start = time.monotonic()
        asyncio.run(everything(work))
        seconds = time.monotonic() - start
        seen = within(service)
        asyncio.run(settled(service.port))
        if service.errors:
            raise Failed(f"{len(service.errors)} answers of 5xx: {service.errors[0]}")
        service.end()
    times = sorted(work.times)
    p50, p99 = (1e3 * times[int(len(times) * part)] for part in (0.5, 0.99))
    counts = ", ".join(f"{n:,} {kind}" for kind, n in sorted(work.seen.items(), key=lambda one: -one[1]))
    return f"{counts}; {seconds:.0f} s; p50 {p50:.1f} ms, p99 {p99:.0f} ms; {seen}"


async def press(port, requests):
    """Sends each request on a connection of its own, all at once; returns how often each status came."""
    async def one(data):
        connection = Connection(port)
        try:
            status, _, _ = await connection.ask(data)
        except Lost:
            status = "lost"
        connection.close()
        return status
    return collections.Counter(await asyncio.gather(*map(one, requests)))


def memory(program, folder, _):
    """Every limit at once, with limits that are small: bodies, pixels, tensors in JSON, unread answers."""
    words = ["--max-body", "4M", "--max-pixels", "16000000", "--max-batch", "4"]
    photo = (PROJECT / "docs/photos/cat.png").read_bytes()
    tensor = b'{"inputs": [{"name": "input", "shape": [32, 3, 32, 32], "datatype": "FP32", "data": ['
    tensor += b",".join([b"0"] * (32 * 3 * 32 * 32)) + b"]}]}"
    nothing = b'{"name": "", "shape": [], "datatype": ""}'
    many = b'{"inputs": [' + b",".join([nothing] * 80_000) + b"]}"
    classes = b'{"inputs": [], "outputs": [{"name": "logits", "parameters": {"classification": ['
    classes += b"0," * 1_900_000 + b"0]}}]}"
    infer = "/v2/models/demo/infer"
    pixels = traffic.png(4000, 4000, 8, 2)
    everyone = request("POST", "/v1/predict?probabilities=true&heat_map=true", *traffic.form([photo] * 32))
    kinds = [request("POST", infer, tensor), request("POST", infer, many), request("POST", infer, classes),
             request("POST", "/v1/predict", pixels), request("POST", "/v1/predict", pixels + b"x" * 3_900_000), everyone]
    with Service(program, "demo", *words) as service:
        start = service.megabytes()
        counts = collections.Counter()
        for _ in range(5):
            batch = [kind for kind in kinds for _ in range(30)]
            random.shuffle(batch)
            counts += asyncio.run(press(service.port, batch))
        # 429 and 503 say that there is no room or no time.
        if set(counts) - {200, 400, 429, 503}:
            raise Failed(f"statuses {dict(counts)}")
        seen = f"{seen_counts(counts)}; {start:.0f} MB at the start, {within(service)}"
        service.end()
    return seen


def seen_counts(counts):
    return ", ".join(f"{n} x {status}" for status, n in counts.most_common())


CASES = {"load": load, "memory": memory}
