"""Makes the photos of this folder, and the reference values of Pillow and torchvision for photos.rs.

    python make_photos.py        (Pillow with WebP and AVIF, tifffile with imagecodecs, torchvision, timm,
                                  jpegtran)

Every file shows the same 24x16 image, as far as its format allows. pixels.bin holds, for each file
in the order of names, width and height (16 bits, little endian), the RGB bytes after
`ImageOps.exif_transpose` and `convert("RGB")`, and the bytes after `convert("L")`. resized.bin holds
noise resized by torchvision's transforms, in the order of CASES; filtered.bin by timm's, in the order of
MODES and FILTERS.
"""

import io
import itertools
import pathlib
import struct
import subprocess
import zlib

import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 24, 16
# Columns and rows of the noise, shorter side or 0, and side of the square.
CASES = [
    (61, 43, 0, 32), (43, 61, 0, 32), (32, 32, 0, 32), (7, 5, 0, 32), (1, 1, 0, 8), (1, 300, 0, 16),
    (500, 3, 0, 16), (200, 150, 0, 32), (33, 31, 0, 32), (61, 43, 36, 32), (43, 61, 36, 32),
    (40, 41, 36, 31), (5, 7, 36, 32), (500, 20, 18, 16), (3, 200, 18, 16), (64, 64, 37, 32),
]  # fmt: skip

# The same, then crop mode and filter, for timm's transforms. Pillow 13 resizes some along columns first.
MODES = [
    (61, 43, 36, 32, "center"), (40, 46, 36, 31, "center"), (7, 5, 36, 32, "center"),
    (61, 43, 36, 32, "squash"), (7, 5, 36, 36, "squash"),
    (61, 43, 36, 32, "border"), (43, 61, 32, 32, "border"), (9, 2, 20, 32, "border"),
    (90, 4, 12, 16, "border"), (43, 161, 36, 32, "center"), (33, 101, 36, 32, "squash"),
    (50, 260, 36, 32, "border"), (40, 60, 36, 32, "squash"),
]  # fmt: skip
FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
MEAN = (0.5, 0.25, 0.125)


def noise(width, height, channels):
    """Bytes of a linear congruential generator."""
    state, out = width * 1000 + height, bytearray()
    for _ in range(width * height * channels):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(state >> 24)
    return np.frombuffer(bytes(out), np.uint8).reshape(height, width, channels)


def picture():
    """Smooth, coloured, and without any symmetry."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / [[[HEIGHT]], [[WIDTH]]]
    rgb = np.stack([x, y, (1 - x) * (1 - y)], -1) * 200 + 30
    rgb[2:6, 3:14] = [220, 40, 40]
    return Image.fromarray(rgb.round().astype(np.uint8))


def orientations(upright):
    """Stored pixels that each EXIF orientation turns upright."""
    t = Image.Transpose
    undo = [None, t.FLIP_LEFT_RIGHT, t.ROTATE_180, t.FLIP_TOP_BOTTOM, t.TRANSPOSE, t.ROTATE_90]
    for number, how in enumerate([*undo, t.TRANSVERSE, t.ROTATE_270], 1):
        yield number, upright if how is None else upright.transpose(how)


def exif(number):
    tags = Image.Exif()
    tags[0x0112] = number
    return tags.tobytes()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits, colour, rows, interlaced=0):
    """A PNG that Pillow does not write."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour, 0, 0, interlaced)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def adam7(pixels):
    """The rows of an interlaced PNG: seven images, each of some rows and columns."""
    for y, x, dy, dx in [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]:
        for row in pixels[y::dy, x::dx]:
            yield row.tobytes()


def run_length_bmp(image):
    """A palette BMP whose rows are runs of equal pixels."""
    pixels, palette = np.asarray(image), image.getpalette()
    colours = b"".join(bytes([b, g, r, 0]) for r, g, b in zip(*[iter(palette)] * 3))
    data = b""
    for row in pixels[::-1]:
        edges = [0, *(np.flatnonzero(np.diff(row)) + 1), len(row)]
        data += (
            b"".join(bytes([end - start, row[start]]) for start, end in itertools.pairwise(edges))
            + b"\0\0"
        )
    data += b"\0\1"
    start = 54 + len(colours)
    header = struct.pack(
        "<2sIIIIiiHHIIiiII",
        b"BM",
        start + len(data),
        0,
        start,
        40,
        WIDTH,
        HEIGHT,
        1,
        8,
        1,
        len(data),
        0,
        0,
        len(colours) // 4,
        0,
    )
    return header + colours + data


def write_photos():
    rgb = picture()
    grey, alpha = rgb.convert("L"), Image.linear_gradient("L").resize(rgb.size)
    rgba, grey_alpha = rgb.copy(), grey.copy()
    rgba.putalpha(alpha)
    grey_alpha.putalpha(alpha)
    palette = rgb.quantize(16)
    other = rgb.transpose(Image.Transpose.ROTATE_180)

    def save(name, image, **options):
        image.save(HERE / name, **options)

    for number, stored in orientations(rgb):
        save(f"exif-{number}.jpg", stored, quality=95, subsampling=0, exif=exif(number))
        if number in (6, 7):
            save(f"exif-{number}.png", stored, exif=exif(number))
            save(f"exif-{number}.webp", stored, lossless=True, exif=exif(number))
    for subsampling in (0, 1, 2):
        save(f"subsampling-{subsampling}.jpg", rgb, quality=90, subsampling=subsampling)
    save("progressive.jpg", rgb, quality=90, progressive=True)
    save("grey.jpg", grey, quality=90)
    save("restart.jpg", rgb, quality=90, restart_marker_blocks=1)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save("profile.jpg", rgb, quality=90, icc_profile=profile)
    save("profile.png", rgb, icc_profile=profile)

    cmyk = np.asarray(rgb.convert("CMYK")).copy()
    cmyk[..., 3] = 40  # some black ink
    cmyk = Image.fromarray(cmyk, "CMYK")
    save("cmyk.jpg", cmyk, quality=95)
    save("cmyk-progressive.jpg", cmyk, quality=95, progressive=True)
    # YCCK: the inverted CMY as YCbCr, then black. Pillow stores 255 minus each.
    c, m, y, k = cmyk.split()
    ycc = map(ImageOps.invert, Image.merge("RGB", (c, m, y)).convert("YCbCr").split())
    file = io.BytesIO()
    Image.merge("CMYK", (*ycc, k)).save(file, "JPEG", quality=95)
    data = bytearray(file.getvalue())
    data[data.index(b"Adobe") + 11] = 2
    (HERE / "ycck.jpg").write_bytes(data)

    arithmetic = ["jpegtran", "-arithmetic", str(HERE / "subsampling-0.jpg")]
    (HERE / "arithmetic.jpg").write_bytes(
        subprocess.run(arithmetic, capture_output=True, check=True).stdout
    )

    save("rgb.png", rgb)
    save("rgba.png", rgba)
    save("grey.png", grey)
    save("grey-alpha.png", grey_alpha)
    save("palette.png", palette)
    save("palette-transparent.png", palette, transparency=bytes(range(0, 160, 10)))
    save("rgb-transparent.png", rgb, transparency=(220, 40, 40))
    save("bit1.png", rgb.convert("1"))
    save("bits2.png", palette.quantize(4), bits=2)
    wide = np.asarray(rgb).astype(">u2") * 257
    rows = [row.tobytes() for row in wide]
    (HERE / "rgb16.png").write_bytes(png(16, 2, rows))
    four = np.concatenate([wide, wide[..., :1]], -1)
    (HERE / "rgba16.png").write_bytes(png(16, 6, [row.tobytes() for row in four]))
    (HERE / "grey16.png").write_bytes(
        png(16, 0, [(row * 257).tobytes() for row in np.asarray(grey).astype(">u2")])
    )
    (HERE / "interlaced.png").write_bytes(png(8, 2, adam7(np.asarray(rgb)), interlaced=1))
    save("animated.png", rgb, save_all=True, append_images=[other], duration=100)

    save("lossy.webp", rgb, quality=90)
    save("lossless.webp", rgb, lossless=True)
    save("alpha.webp", rgba, quality=90)
    save("alpha-lossless.webp", rgba, lossless=True, exact=True)
    save("animated.webp", rgb, lossless=True, save_all=True, append_images=[other], duration=100)

    save("palette.gif", palette)
    save("transparent.gif", palette, transparency=3)
    save("interlaced.gif", palette, interlace=1)
    save("animated.gif", palette, save_all=True, append_images=[other.quantize(16)], duration=100)

    save("rgb.bmp", rgb)
    save("rgba.bmp", rgba)
    save("grey.bmp", grey)
    save("palette.bmp", palette)
    save("bit1.bmp", rgb.convert("1"))
    (HERE / "rle.bmp").write_bytes(run_length_bmp(palette))

    write_others(rgb, rgba, cmyk, palette)
    save("../refused-photos/refused.avif", rgb)
    save("../refused-photos/refused.jp2", rgb)


def write_others(rgb, rgba, cmyk, palette):
    """Formats that are rare for photos."""

    def save(name, image, **options):
        image.save(HERE / name, **options)

    grey = rgb.convert("L")
    for quality in (30, 75):
        for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
            for progressive in (False, True):
                number = f"{quality}-{subsampling.replace(':', '')}{'-progressive' * progressive}"
                save(
                    f"quality-{number}.jpg",
                    rgb,
                    quality=quality,
                    subsampling=subsampling,
                    progressive=progressive,
                )
    save("rgb-not-ycc.jpg", rgb, quality=90, keep_rgb=True)
    save("lzw.tif", rgb, compression="tiff_lzw")
    save("deflate.tif", rgba, compression="tiff_adobe_deflate")
    save("packbits.tif", grey, compression="packbits")
    save("group4.tif", rgb.convert("1"), compression="group4")
    turned = Image.Exif()
    turned[0x0112] = 6
    save("exif-6.tif", rgb.transpose(Image.Transpose.ROTATE_90), exif=turned)
    wide = np.asarray(rgb).astype(np.uint16) * 257
    for name, image, options in [
        ("big-endian.tif", np.asarray(rgb), {"byteorder": ">", "tile": (16, 16)}),
        ("bigtiff.tif", np.asarray(rgb), {"bigtiff": True}),
        ("planar.tif", np.moveaxis(np.asarray(rgb), -1, 0), {"planarconfig": "separate"}),
        ("predictor.tif", np.asarray(rgb), {"compression": "lzw", "predictor": True}),
        ("rgb16.tif", wide, {}),
    ]:
        tifffile.imwrite(HERE / name, image, photometric="rgb", **options)
    tifffile.imwrite(HERE / "inverted.tif", np.asarray(grey), photometric="miniswhite")
    save("rgb.ppm", rgb)
    save("grey.pgm", grey)
    save("bit1.pbm", rgb.convert("1"))
    numbers = " ".join(map(str, np.asarray(rgb).reshape(-1)))
    (HERE / "ascii.ppm").write_text(f"P3\n# numbers\n{WIDTH} {HEIGHT}\n255\n{numbers}\n")
    save("rgb.tga", rgb)
    save("run-lengths.tga", rgba, compression="tga_rle")
    save("palette.tga", palette)
    save("rgb.qoi", rgb)
    save("png.ico", rgba, sizes=[(8, 8), (24, 16)])
    save("bitmap.ico", rgba, sizes=[(8, 8), (24, 16)], bitmap_format="bmp")
    save("rgb.dib", rgb)
    save("../refused-photos/palette.tiff", palette)
    save("../refused-photos/cmyk.tiff", cmyk)
    save("../refused-photos/jpeg.tiff", rgb, compression="jpeg")


def write_pixels():
    with open(HERE / "pixels.bin", "wb") as out:
        for path in sorted(HERE.iterdir()):
            if path.suffix in (".bin", ".py"):
                continue
            image = Image.open(path)
            if path.name == "grey16.png":  # Pillow cuts 16-bit grey off at 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = ImageOps.exif_transpose(image)
            out.write(struct.pack("<HH", *image.size))
            out.write(image.convert("RGB").tobytes() + image.convert("L").tobytes())


def write_resized():
    from torchvision.transforms import CenterCrop, Resize

    with open(HERE / "resized.bin", "wb") as out:
        for width, height, shorter, side in CASES:
            for channels in (3, 1):
                image = Image.fromarray(
                    noise(width, height, channels).squeeze(-1)
                    if channels == 1
                    else noise(width, height, 3)
                )
                image = (
                    CenterCrop(side)(Resize(shorter)(image))
                    if shorter
                    else Resize((side, side))(image)
                )
                out.write(image.tobytes())


def write_filtered():
    from timm.data.transforms_factory import transforms_imagenet_eval

    with open(HERE / "filtered.bin", "wb") as out:
        for width, height, resize, side, mode in MODES:
            for name in FILTERS:
                transform = transforms_imagenet_eval(
                    side,
                    crop_pct=side / resize,
                    crop_mode=mode,
                    interpolation=name,
                    mean=MEAN,
                    normalize=False,
                )
                pixels = transform(Image.fromarray(noise(width, height, 3)))
                out.write(pixels.permute(1, 2, 0).contiguous().numpy().tobytes())


if __name__ == "__main__":
    write_photos()
    write_pixels()
    write_resized()
    write_filtered()
