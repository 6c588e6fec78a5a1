"""The limits, one by one: what is refused and how, and that all else goes on meanwhile.

The loss of a GPU is left to the tests of crates/serve: from outside it cannot be brought about."""
import asyncio
import collections
import json
import socket
import time

from . import traffic
from .client import Connection, Lost, metrics, parsed, request
from .load import large, settled, within
from .program import PHOTOS, Failed, Service, predicted

PREDICT = "/v1/predict"
REFUSALS = 32  # connections past the limit that get an answer (crates/serve/src/server.rs)
PAUSE = 10  # seconds without a byte of a body
UNREAD = 30  # seconds without progress while an answer is read
CROWD = 12  # clients that send photos without a pause


async def ask(port, data):
    """The answer to a request on a connection of its own."""
    connection = Connection(port)
    try:
        return await connection.ask(data)
    except Lost as error:
        raise Failed(f"{data[:80]!r} is not answered: {error}") from None
    finally:
        connection.close()


async def answered(connection, good):
    """Fails unless a good request gets its answer."""
    status, _, body = await connection.ask(good.data)
    good.check(status, body)


def refused(answer, status, code, what):
    """Fails unless an answer is this problem, with what a client must know of it."""
    found, headers, body = answer
    problem = parsed(body) or {}
    if (found, problem.get("code")) != (status, code):
        raise Failed(f"{what}: {found} {body[:200]!r}, not {status} {code}")
    if status in (429, 503) and not headers.get("retry-after", "").isdigit():
        raise Failed(f"{what}: {status} {code} without Retry-After")


def photos(program):
    return traffic.good(predicted(program, "demo", *PHOTOS))


async def many(port, good, count):
    """So many good requests at eight connections; returns the longest time that one took."""
    turns, slowest = iter(range(count)), 0

    async def client():
        nonlocal slowest
        connection = Connection(port)
        for turn in turns:
            start = time.monotonic()
            await answered(connection, good[turn % len(good)])
            slowest = max(slowest, time.monotonic() - start)
        connection.close()

    await asyncio.gather(*(client() for _ in range(8)))
    return slowest


def inference(identifier):
    tensor = {"name": "input", "shape": [1, 3, 32, 32], "datatype": "UINT8", "data": [0] * (3 * 32 * 32)}
    body = json.dumps({"id": identifier, "inputs": [tensor]}).encode()
    return request("POST", "/v2/models/demo/infer", body, "application/json")


async def with_ids(port):
    kept, wrong = ["", "x" * 256, "é" * 256, '"\\\n\u2028'], ["x" * 257, "é" * 257, "x" * 1_000_000, 7]
    for text in kept:
        status, _, body = await ask(port, inference(text))
        if status != 200 or parsed(body).get("id") != text:
            raise Failed(f"the id {text!r}: {status} {body[:300]!r}")
    for text in wrong:
        refused(await ask(port, inference(text)), 400, "invalid_request", f"the id {str(text)[:20]!r}...")
    return f"{len(kept)} come back, {len(wrong)} that are too long or no text are refused"


def ids(program, folder, options):
    """Ids of requests have at most 256 characters, and come back as they are."""
    with Service(program, "demo", *options.words) as service:
        seen = asyncio.run(with_ids(service.port))
        service.end()
    return seen


async def used_up(port, places, good):
    held = [Connection(port) for _ in range(places)]
    for connection in held:
        await answered(connection, good)
    probes, others = 0, 0
    for _ in range(25):
        for path in ("/healthz", "/v2/health/live"):
            status, _, body = await ask(port, request("GET", path))
            if status != 200 or parsed(body) != {"live": True}:
                raise Failed(f"{path} while connections are used up: {status} {body[:200]!r}")
            probes += 1
        state = [request("GET", path) for path in ("/readyz", "/metrics")]
        for data in (*state, request("POST", "/healthz", b"x"), good.data):
            refused(await ask(port, data), 503, "too_many_connections", repr(data[:40]))
            others += 1
    # Clients that say nothing take the places of those that are told so, for a moment.
    silent = [Connection(port) for _ in range(REFUSALS)]
    for connection in silent:
        await connection.open()
    start, further = time.monotonic(), Connection(port)
    try:
        await further.ask(request("GET", "/healthz"))
    except Lost:
        pass
    else:
        raise Failed(f"more than {REFUSALS} connections past the limit are answered")
    await asyncio.wait_for(asyncio.gather(*(connection.reader.read() for connection in silent)), 10)
    if (seconds := time.monotonic() - start) > 5:
        raise Failed(f"silent connections past the limit are closed after {seconds:.1f} s")
    for connection in silent:
        connection.close()
    # Those within the limit did not notice.
    for connection in held:
        await answered(connection, good)
        connection.close()
    for _ in range(50):
        if (await ask(port, request("GET", "/readyz")))[0] == 200:
            break
        await asyncio.sleep(0.1)
    else:
        raise Failed("5 s after connections were closed there is still no room")
    counted = (await metrics(port))['resnet_refusals_total{code="too_many_connections"}']
    if counted < others + 1:
        raise Failed(f"{counted:.0f} refusals are counted, of {others + 1}")
    return (f"{probes} probes of whether it lives are answered, {others} other requests refused, silent clients left "
            f"after {seconds:.1f} s")


def connections(program, folder, options):
    """Past --max-connections, whether the service lives is still answered, and nobody waits."""
    good = photos(program)[0]
    with Service(program, "demo", "--max-connections", "4", *options.words) as service:
        seen = asyncio.run(used_up(service.port, 4, good))
        service.end()
    return seen


async def stalled(port, sent):
    """A body of which a part comes, and then nothing."""
    data = request("POST", PREDICT, b"x" * 1_000_000)
    connection, start = Connection(port), time.monotonic()
    await connection.send(data[: sent - 1_000_000])
    refused(await connection.answer(), 408, "slow_body", "a body that stalls")
    connection.close()
    return time.monotonic() - start


async def steady(port):
    """A body that comes slowly, for longer than a pause may last, but without one."""
    connection, body = Connection(port), b"no photo"
    await connection.send(request("POST", PREDICT, body)[: -len(body)])
    for byte in body:
        await asyncio.sleep(2 * PAUSE / len(body))
        await connection.send(bytes([byte]))
    refused(await connection.answer(), 422, "unreadable_image", "a body that comes slowly")
    connection.close()


async def uploads(port, good):
    # 31 times 489 KiB and once 977, of 16 MiB for all bodies: there is room for photos, but not for 391 KiB.
    stalls = [asyncio.create_task(stalled(port, sent)) for sent in [500_000] * 31 + [999_999]]
    slow = asyncio.create_task(steady(port))
    await asyncio.sleep(2)
    no_photo = request("POST", PREDICT, b"x" * 400_000)
    refused(await ask(port, no_photo), 429, "bodies_full", "a body while others fill the memory")
    connection = Connection(port)
    for one in (one for one in good if len(one.data) < 50_000):
        await answered(connection, one)
    connection.close()
    times = await asyncio.gather(*stalls)
    if not PAUSE - 1 < min(times) <= max(times) < PAUSE + 8:
        raise Failed(f"bodies that stall are given up after {min(times):.1f} to {max(times):.1f} s, not {PAUSE} s")
    whole = [ask(port, request("POST", PREDICT, b"x" * 1_000_000)) for _ in range(15)]
    for answer in await asyncio.gather(*whole):
        refused(answer, 422, "unreadable_image", "a body when those that stalled were given up")
    await slow
    return f"{len(stalls)} that stall given up after {min(times):.1f} to {max(times):.1f} s, one without a pause read"


async def refused_uploads(port):
    """Bodies that are refused by their heads: clients that write all of them read the answer."""
    body, gzip = b"x" * 5_000_000, ["Content-Encoding: gzip"]
    kinds = [(request("POST", PREDICT, body), 413, "body_too_large"),
             (request("POST", "/nothing", body), 404, "unknown_path"),
             (request("POST", "/v1/models/none/predict", body), 404, "unknown_model"),
             (request("POST", PREDICT, body, headers=gzip), 415, "encoding")]
    for data, status, code in kinds:
        connection = Connection(port)
        try:
            await connection.send(data)
            answer = await connection.answer()
        except (Lost, OSError) as error:
            raise Failed(f"{code}: its client cannot write all, and read the answer: {error}") from None
        refused(answer, status, code, f"a body of 5 MB to {data[:40]!r}")
        if answer[1].get("connection") != "close":
            raise Failed(f"{code} does not say that the connection ends")
        connection.close()
    # One that asks before it sends is invited only if its body is read.
    asking = ["Expect: 100-continue"]
    head = request("POST", PREDICT, body, headers=asking)[: -len(body)]
    refused(await ask(port, head), 413, "body_too_large", "a body of 5 MB that waits for 100 Continue")
    connection, body = Connection(port), b"no photo"
    status, _, _ = await connection.ask(request("POST", PREDICT, body, headers=asking)[: -len(body)])
    if status != 100:
        raise Failed(f"a body that waits for 100 Continue: {status}")
    refused(await connection.ask(body), 422, "unreadable_image", "a body that was invited")
    connection.close()
    return f"{len(kinds)} refused ones that are written whole read why"


def bodies(program, folder, options):
    """Uploads that stall or are refused: they keep neither memory nor their answers."""
    good = photos(program)
    with Service(program, "demo", "--max-body", "1M", *options.words) as service:
        seen = [asyncio.run(uploads(service.port, good)), asyncio.run(refused_uploads(service.port)), within(service)]
        asyncio.run(settled(service.port))
        service.end()
    return "; ".join(seen)


def unread(program, folder, options):
    """A client that asks on and never reads is left."""
    with Service(program, "demo", *options.words) as service, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        client.connect(("127.0.0.1", service.port))
        client.settimeout(2)
        many_requests = request("GET", "/openapi.json") * 1000
        start = time.monotonic()
        try:
            # Until the service reads no more, because it cannot write.
            for _ in range(1000):
                start = time.monotonic()
                client.sendall(many_requests)
            raise Failed("it reads 1,000,000 requests whose answers are not read")
        except TimeoutError:
            pass
        # The connection that asks is one.
        while asyncio.run(metrics(service.port))["resnet_connections"] > 1:
            if time.monotonic() > start + UNREAD + 20:
                raise Failed(f"a client that does not read is not left within {UNREAD + 20} s")
            time.sleep(0.5)
        seconds = time.monotonic() - start
        if seconds < UNREAD - 5:
            raise Failed(f"a client that reads slowly is left after {seconds:.0f} s")
        seen = f"left after {seconds:.0f} s; {within(service)}"
        service.end()
    return seen


async def crowded(port, data, count, status, code):
    """So many requests at once, of which some are too many; returns how often each status came."""
    counts = collections.Counter()
    for answer in await asyncio.gather(*(ask(port, data) for _ in range(count))):
        counts[answer[0]] += 1
        if answer[0] != 200:
            refused(answer, status, code, f"{count} requests at once")
    if len(counts) != 2:
        raise Failed(f"{count} requests at once, some of which should be {code}: {dict(counts)}")
    await settled(port)
    counted = (await metrics(port))[f'resnet_refusals_total{{code="{code}"}}']
    if counted != counts[status]:
        raise Failed(f"{counted:.0f} refusals by {code} are counted, of {counts[status]}")
    return f"{counts[200]} of {count} answered, the others {code}"


def queue(program, folder, options):
    """More images than --queue takes, than --max-images, and than are computed within --timeout."""
    photo = traffic.png(4000, 4000)
    with Service(program, "demo", "--queue", "4", "--max-images", "4", *options.words) as service:
        four, five = (request("POST", PREDICT, *traffic.form([photo] * n)) for n in (4, 5))
        refused(asyncio.run(ask(service.port, five)), 413, "too_many_images", "five images")
        seen = asyncio.run(crowded(service.port, four, 30, 429, "queue_full"))
        service.end()
    with Service(program, "demo", "--timeout", "1s", *options.words) as service:
        one = request("POST", PREDICT, photo)
        seen += "; " + asyncio.run(crowded(service.port, one, 200, 503, "timeout"))
        seen += f"; {within(service)}"
        service.end()
    return seen


async def among_smaller(port, smaller, largest):
    count, ends = 0, False

    async def client():
        nonlocal count
        connection = Connection(port)
        while not ends:
            await answered(connection, smaller)
            count += 1
        connection.close()

    clients = [asyncio.create_task(client()) for _ in range(CROWD)]
    await asyncio.sleep(1)
    connection, before = Connection(port), []
    for _ in range(5):
        start = count
        await answered(connection, largest)
        before.append(count - start)
    connection.close()
    ends = True
    await asyncio.gather(*clients)
    return before


def decoding(program, folder, _):
    """A photo that needs all memory for decoding gets it in its turn, while smaller ones come without a pause."""
    smaller, largest = (large(program, folder, side) for side in (2800, 4000))
    # Threads enough that, if whoever fits went first, the memory would never be free.
    with Service(program, "demo", "--max-pixels", "16000000", "--threads", "4") as service:
        before = asyncio.run(among_smaller(service.port, smaller, largest))
        seen = within(service)
        service.end()
    # As many were sent before it, and some are answered with it.
    if max(before) > 3 * CROWD:
        raise Failed(f"{max(before)} photos of {CROWD} clients were answered before one that needs all memory")
    return f"photos of {CROWD} clients that were answered before it: {', '.join(map(str, before))}; {seen}"


def log(program, folder, options):
    """Requests do not wait for who reads stderr; lines that are dropped are counted and reported."""
    good, count = photos(program), 4000
    with Service(program, "demo", *options.words) as service:
        service.reads.clear()
        slowest = asyncio.run(many(service.port, good, count))
        dropped = asyncio.run(metrics(service.port))["resnet_log_lines_dropped_total"]
        service.reads.set()
        service.wait_for("lines_dropped")
        service.end()
        service.wait_for("closed")
    said = sum(event["lines"] for event in service.events if event["event"] == "lines_dropped")
    if not said == dropped == count - service.requests:
        raise Failed(f"{count} requests and {service.requests} lines; {dropped:.0f} counted as dropped, {said} reported")
    with Service(program, "demo", *options.words) as service:
        service.reads.clear()
        asyncio.run(many(service.port, good, count))
        start = time.monotonic()
        service.end()
        seconds = time.monotonic() - start
    if seconds > 10:
        raise Failed(f"it ends {seconds:.1f} s after SIGTERM, while nobody reads")
    return f"{count} requests, {said} lines dropped, the slowest {1e3 * slowest:.0f} ms; it ends in {seconds:.1f} s"


CASES = {"ids": ids, "connections": connections, "bodies": bodies, "unread": unread, "queue": queue,
         "decoding": decoding, "log": log}
