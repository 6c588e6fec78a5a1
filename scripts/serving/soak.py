"""Hours at half load: memory stays flat."""
import asyncio
import random
import statistics
import time

from . import traffic
from .client import Connection
from .program import PHOTOS, Failed, Service, predicted

CONNECTIONS = 8
GROWTH = 1.05  # of the median of the last quarter of the samples, against that of the second
SLACK = 4  # MB


async def full(port, good, seconds):
    """Requests per second of clients that never wait."""
    until, count = time.monotonic() + seconds, 0

    async def client():
        nonlocal count
        connection = Connection(port)
        while time.monotonic() < until:
            request = random.choice(good)
            status, _, body = await connection.ask(request.data)
            request.check(status, body)
            count += 1
        connection.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return count / seconds


async def paced(service, good, rate, seconds, say):
    """So many requests per second, and the memory meanwhile."""
    begun, samples, times = time.monotonic(), [], []

    async def client(number):
        connection, due = Connection(service.port), begun + number / rate
        while due < begun + seconds:
            await asyncio.sleep(max(0, due - time.monotonic()))
            request, start = random.choice(good), time.monotonic()
            status, _, body = await connection.ask(request.data)
            request.check(status, body)
            times.append(time.monotonic() - start)
            due = max(due + CONNECTIONS / rate, time.monotonic() - 1)
        connection.close()

    async def sample():
        while (now := time.monotonic() - begun) < seconds:
            samples.append(service.megabytes())
            if len(samples) % 30 == 1:
                say(f"{now / 60:.0f} min: {samples[-1]:.1f} MB, {len(times):,} requests")
            await asyncio.sleep(min(2, seconds / 100))

    await asyncio.gather(sample(), *(client(number) for number in range(CONNECTIONS)))
    return samples, times


def soak(program, folder, options):
    """Half an hour at half of what the clients of this script reach."""
    good = traffic.good(predicted(program, "demo", *PHOTOS))
    with Service(program, "demo", *options.words) as service:
        rate = options.rate or asyncio.run(full(service.port, good, 5)) / 2
        samples, times = asyncio.run(paced(service, good, rate, 60 * options.minutes, options.say))
        if service.errors:
            raise Failed(f"answers of 5xx: {service.errors[0]}")
        service.end()
    quarter = len(samples) // 4
    second, last = (statistics.median(part) for part in (samples[quarter : 2 * quarter], samples[3 * quarter :]))
    p99 = 1e3 * sorted(times)[int(0.99 * len(times))]
    seen = (f"{options.minutes:g} min at {len(times) / options.minutes / 60:.0f} requests/s, p99 {p99:.1f} ms; "
            f"{samples[0]:.1f} MB at the start, {samples[len(samples) // 2]:.1f} in the middle, "
            f"{samples[-1]:.1f} at the end, {max(samples):.1f} at most")
    if last > GROWTH * second + SLACK:
        raise Failed(f"memory grows: {seen}")
    return seen


CASES = {"soak": soak}
