"""What clients send: good requests with what must be answered, and bad ones of every kind."""
import asyncio
import base64
import json
import random
import struct
import zlib

from .client import Connection, Lost, parsed, request
from .program import CLASSES, PROJECT, Failed

SIGNATURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()[:10]


class Good:
    """A request, and the answer that it must get."""

    def __init__(self, data, tops, heat_map=False):
        self.data, self.tops, self.heat_map = data, tops, heat_map

    def check(self, status, body):
        """Fails unless it is answered, in the bits of `predict`."""
        if status != 200:
            raise Failed(f"status {status}: {body[:300]!r}")
        found = json.loads(body)["predictions"]
        if [one.get("top") for one in found] != self.tops:
            raise Failed(f"{body[:300]!r} in place of {self.tops}")
        for one in found:
            if self.heat_map and not one["heat_map"]["png"].startswith(SIGNATURE):
                raise Failed("no heat map")
            for top in one["top"] if "probabilities" in one else ():
                if one["probabilities"][top["index"]] != top["probability"]:
                    raise Failed("probabilities differ")


def form(files):
    """A form with these files, and its content type."""
    parts = [b"--cut\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n" + file + b"\r\n"
             for file in files]
    return b"".join([*parts, b"--cut--\r\n"]), "multipart/form-data; boundary=cut"


def good(predicted, path="/v1/predict"):
    """Requests for photos in every form, from what `predict` answers for them."""
    photos = [(file.read_bytes(), top) for file, top in predicted.items()]
    made = []
    for number, (data, top) in enumerate(photos):
        other, its_top = photos[(number * 7 + 1) % len(photos)]
        all_classes = f"{path}?top_k={CLASSES}"
        made.append(Good(request("POST", all_classes, data, "image/jpeg"), [top]))
        made.append(Good(request("POST", path, data), [top[:5]]))
        made.append(Good(request("POST", all_classes, *form([data, other])), [top, its_top]))
        text = json.dumps({"images": [base64.b64encode(one).decode() for one in (other, data)], "top_k": 3,
                           "probabilities": True})
        made.append(Good(request("POST", path, text.encode(), "application/json"), [its_top[:3], top[:3]]))
        if number % 4 == 0:
            made.append(Good(request("POST", all_classes + "&heat_map=true", data), [top], heat_map=True))
    return made


def png(width, height, bits=1, colour=0):
    """A black PNG, small for its pixels."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    row = b"\0" * (1 + (width * bits * (3 if colour == 2 else 1) + 7) // 8)
    deflate = zlib.compressobj(9)
    pixels = b"".join([*(deflate.compress(row) for _ in range(height)), deflate.flush()])
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bombs():
    """Small files of 300 megapixels: a PNG that has them all, and others that say so in their headers."""
    width, height = 20_000, 15_000
    jpeg = bytearray((PROJECT / "crates/data/tests/photos/quality-75-420.jpg").read_bytes())
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    gif = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff,"
    gif += struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\0;"
    bmp = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
    return [png(width, height), bytes(jpeg), gif, bmp]


def bad(photo):
    """Malformed requests with the status of their answer; None for a closed connection."""
    predict = "/v1/predict"
    zeros = b'{"inputs": [{"name": "input", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": ['
    zeros += b"0," * 500_000 + b"0]}]}"
    infer = "/v2/models/demo/infer"
    return [
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"x" * 200, {400, None}),
        (b"GET\r\n\r\n", {400, None}),
        (b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", {400, None}),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", {431, 400, None}),
        (request("POST", predict, b"no photo at all"), {422}),
        (request("POST", predict, photo[: len(photo) // 2]), {422}),
        (request("POST", predict), {400}),
        (request("POST", predict, photo, "text/html"), {415}),
        (request("POST", predict, photo, headers=["Content-Encoding: gzip"]), {415}),
        (request("POST", predict + "?top_k=0", photo), {400}),
        (request("POST", predict + "?url=http://127.0.0.1/", photo), {400}),
        (request("POST", predict, b'{"images": ["?"]}', "application/json"), {400}),
        (request("POST", predict, b'{"images": [' + b'"",' * 100_000 + b'""]}', "application/json"), {413}),
        (request("POST", predict, b"[" * 100_000, "application/json"), {400}),
        (request("POST", predict, b"--cut\r\n\r\nx", "multipart/form-data; boundary=cut"), {400}),
        (request("POST", infer, zeros), {400}),
        (request("POST", infer, b'{"inputs": []}'), {400}),
        (request("POST", "/v1/models/none/predict", photo), {404}),
        (request("GET", "/etc/passwd"), {404}),
        (request("DELETE", predict), {405}),
    ]


async def send_bad(port, data, statuses):
    connection = Connection(port)
    try:
        status, headers, body = await connection.ask(data)
    except Lost:
        status = None
    connection.close()
    if status not in statuses:
        raise Failed(f"{data[:80]!r}: status {status}, not {statuses}")
    problem = parsed(body) if status else None
    if status in (404, 405, 413, 415, 422) and (problem is None or problem["status"] != status):
        raise Failed(f"{data[:80]!r}: no problem of RFC 9457 in {body[:200]!r}")


async def cut_off(port, data):
    """Breaks off within a request, or leaves without reading the answer."""
    connection = Connection(port)
    await connection.send(data[: random.choice([len(data) // 3, len(data) - 1, len(data)])])
    await asyncio.sleep(random.choice([0, 0.01]))
    connection.abort()


async def slow_head(port, _):
    connection = Connection(port)
    await connection.open()
    closed = asyncio.ensure_future(connection.reader.read())
    for byte in b"GET /healthz HTTP/1.1\r\nHost: somewhere.example\r\n":
        try:
            await connection.send(bytes([byte]))
        except OSError:
            break
        if await asyncio.wait([closed], timeout=1) != (set(), {closed}):
            break
    else:
        raise Failed("a head may come a byte a second for longer than 45 s")
    connection.close()


async def slow_body(port, good):
    connection = Connection(port)
    head, end, body = good.data.partition(b"\r\n\r\n")
    await connection.send(head + end)
    answer = asyncio.ensure_future(connection.answer())
    for byte in body[:60]:
        try:
            await connection.send(bytes([byte]))
        except (OSError, AttributeError):
            break
        if await asyncio.wait([answer], timeout=1) != (set(), {answer}):
            break
    status, _, _ = await answer
    connection.close()
    if status != 408:
        raise Failed(f"a body of a byte a second: status {status}, not 408")


async def huge(port, chunked):
    """A body of 100 MB, whose client stops at the answer."""
    connection, block = Connection(port), b"x" * 1_000_000
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000000"
    await connection.send(f"POST /v1/predict HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
    answer = asyncio.ensure_future(connection.answer())
    for _ in range(100):
        try:
            await connection.send(b"f4240\r\n" + block + b"\r\n" if chunked else block)
        except (OSError, AttributeError):
            break
        await asyncio.sleep(0)
        if answer.done():
            break
    status, _, _ = await answer
    connection.close()
    if status != 413:
        raise Failed(f"a body of 100 MB: status {status}, not 413")
