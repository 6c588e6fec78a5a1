"""Photos, made without any library."""
import functools
import pathlib
import struct
import zlib

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "crates/data/tests/photos"


@functools.cache
def png(seed=0, width=40, height=40, bits=8):
    """A PNG in RGB, of stripes that no other seed below 5888 has."""
    period, (red, green, blue) = 5 + seed % 23, (seed * 37 % 256, seed * 101 % 256, seed * 59 % 256)
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            light = 255 * ((x + y * (1 + seed % 3)) % period) // period
            for value in (red ^ light, (green + light) % 256, (blue + 2 * light) % 256):
                rows.extend([value] * (bits // 8))
    return png_of(width, height, bytes(rows), bits)


def png_of(width, height, rows, bits=8):
    """A PNG in RGB of rows with their filter bytes, which may be fewer than the header states."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def dot(number):
    """One pixel, of another colour for each number below 2^24."""
    return png_of(1, 1, b"\0" + number.to_bytes(3, "big"))


def fixture(name):
    """A photo of the library's tests."""
    return (FIXTURES / name).read_bytes()


JPEG = fixture("quality-75-420.jpg")


def enlarged(jpeg):
    """A JPEG whose header states 65,000 rows and columns."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", 65000, 65000) + jpeg[at + 4:]


def without_tables(jpeg):
    """A JPEG whose Huffman tables are noise."""
    at = jpeg.index(b"\xff\xc4") + 4
    return jpeg[:at] + b"\xee" * 64 + jpeg[at + 64:]
