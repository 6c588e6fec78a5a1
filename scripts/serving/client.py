"""A client of HTTP/1.1 that knows what it has sent."""
import asyncio
import json

LIMIT = 90  # seconds for an answer


class Lost(Exception):
    """There is no whole answer."""


class Connection:
    """A connection that is kept, and opened again after it was closed."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def open(self):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)

    async def send(self, data):
        await self.open()
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self):
        """Status, headers and body of the next answer."""
        try:
            async with asyncio.timeout(LIMIT):
                head = await self.reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        except (asyncio.IncompleteReadError, OSError, TimeoutError) as error:
            partial = len(getattr(error, "partial", b""))
            self.close()
            raise Lost(f"{type(error).__name__}, {partial} bytes") from None
        if headers.get("connection") == "close":
            self.close()
        return int(first.split()[1]), headers, body

    async def ask(self, data):
        try:
            await self.send(data)
        except OSError as error:
            # The answer may be there: the service need not read what it refuses.
            if self.reader is None:
                raise Lost(f"cannot connect: {error}") from None
        return await self.answer()

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    def abort(self):
        """Closes it as a client does that dies."""
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None


def request(method, path, body=b"", kind=None, headers=()):
    """A request in bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: check", f"Content-Length: {len(body)}"]
    if kind:
        lines.append(f"Content-Type: {kind}")
    lines += headers
    return "\r\n".join([*lines, "", ""]).encode() + body


async def metrics(port):
    """The values of /metrics, by name with labels."""
    connection = Connection(port)
    _, _, body = await connection.ask(request("GET", "/metrics"))
    connection.close()
    lines = (line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        return None
