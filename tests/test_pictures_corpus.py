"""Odd and hostile picture files, each with what is to come of it: all of them in one run of the tool."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from tiny import write_bicubic_network

from srgan_jax import generators
from srgan_jax.photos import batch
from srgan_jax.photos.codecs import read_photo

HEIGHT, WIDTH = 6, 10
RNG = np.random.default_rng(0)
RGB8 = np.kron(RNG.integers(0, 256, (3, 5, 3), np.uint8), np.ones((2, 2, 1), np.uint8))
RGB = Image.fromarray(RGB8)
GREY = RGB.convert("L")
ALPHA = Image.fromarray(np.kron(np.array([[255, 0], [128, 255]], np.uint8), np.ones((3, 5), np.uint8)))
RGBA = Image.merge("RGBA", [*RGB.split(), ALPHA])
SIXTEEN = RNG.integers(0, 65536, (HEIGHT, WIDTH, 4), np.uint16)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image, kind, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png16(array) -> bytes:
    return imagecodecs.png_encode(np.ascontiguousarray(array))


def tiff16(array, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def png(width, height, *, depth=8, colour=2, data=b"", crc=None) -> bytes:
    """A PNG that may say anything in its header."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body))
            + kind
            + body
            + struct.pack(">I", zlib.crc32(kind + body) if crc is None else crc)
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def turned(orientation) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(RGB, "PNG", exif=exif)


def animation(kind) -> bytes:
    return saved(RGB, kind, save_all=True, append_images=[GREY.convert("RGB")])


PNG, JPEG = saved(RGB, "PNG"), saved(RGB, "JPEG", quality=95)
LA = Image.merge("LA", [GREY, ALPHA])
PALETTE = RGB.quantize(8)

# What becomes a picture: name -> (bytes, channels with alpha, bits); None stands for another size, see below.
GOOD = {
    "rgb.png": (PNG, 3, 8),
    "rgb.jpg": (JPEG, 3, 8),
    "rgb.webp": (saved(RGB, "WEBP", lossless=True), 3, 8),
    "rgb.tif": (saved(RGB, "TIFF"), 3, 8),
    "rgb_lzw.tif": (saved(RGB, "TIFF", compression="tiff_lzw"), 3, 8),
    "rgb.bmp": (saved(RGB, "BMP"), 3, 8),
    "rgb.ppm": (saved(RGB, "PPM"), 3, 8),
    "rgb.gif": (saved(RGB, "GIF"), 3, 8),
    "progressive.jpg": (saved(RGB, "JPEG", progressive=True), 3, 8),
    "grey.png": (saved(GREY, "PNG"), 1, 8),
    "grey.jpg": (saved(GREY, "JPEG"), 1, 8),
    "grey_alpha.png": (saved(LA, "PNG"), 2, 8),
    "rgba.png": (saved(RGBA, "PNG"), 4, 8),
    "rgba.webp": (saved(RGBA, "WEBP", lossless=True), 4, 8),
    "rgba.tif": (saved(RGBA, "TIFF"), 4, 8),
    "nothing_is_seen.png": (saved(Image.new("RGBA", (WIDTH, HEIGHT), (9, 8, 7, 0)), "PNG"), 4, 8),
    "palette.png": (saved(PALETTE, "PNG"), 3, 8),
    "palette_transparent.png": (saved(PALETTE, "PNG", transparency=3), 4, 8),
    "palette_alphas.png": (saved(PALETTE, "PNG", transparency=bytes([255, 0, 128])), 4, 8),
    "transparent_colour.png": (saved(RGB, "PNG", transparency=(1, 2, 3)), 4, 8),
    "transparent_grey.png": (saved(GREY, "PNG", transparency=7), 2, 8),
    "one_bit.png": (saved(RGB.convert("1"), "PNG"), 1, 8),
    "one_bit.tif": (saved(RGB.convert("1"), "TIFF", compression="group4"), 1, 8),
    "cmyk.jpg": (saved(RGB.convert("CMYK"), "JPEG"), 3, 8),
    "cmyk.tif": (saved(RGB.convert("CMYK"), "TIFF"), 3, 8),
    "cmyk_with_a_profile_for_rgb.jpg": (saved(RGB.convert("CMYK"), "JPEG", icc_profile=SRGB), 3, 8),
    "cmyk_with_a_broken_profile.jpg": (saved(RGB.convert("CMYK"), "JPEG", icc_profile=b"no profile"), 3, 8),
    "lab.tif": (saved(Image.new("LAB", (WIDTH, HEIGHT)), "TIFF"), 3, 8),
    "ycbcr.tif": (saved(RGB.convert("YCbCr"), "TIFF"), 3, 8),
    "grey16.png": (png16(SIXTEEN[..., 0]), 1, 16),
    "grey_alpha16.png": (png16(SIXTEEN[..., :2]), 2, 16),
    "rgb16.png": (png16(SIXTEEN[..., :3]), 3, 16),
    "rgba16.png": (png16(SIXTEEN), 4, 16),
    "grey16.tif": (tiff16(SIXTEEN[..., 0]), 1, 16),
    "grey_alpha16.tif": (tiff16(SIXTEEN[..., :2], planarconfig="contig", extrasamples=["unassalpha"]), 2, 16),
    "rgb16.tif": (tiff16(SIXTEEN[..., :3], photometric="rgb"), 3, 16),
    "rgb16_planes.tif": (
        tiff16(np.moveaxis(SIXTEEN[..., :3], -1, 0), photometric="rgb", planarconfig="separate"),
        3,
        16,
    ),
    "rgb16_motorola.tif": (tiff16(SIXTEEN[..., :3], photometric="rgb", byteorder=">"), 3, 16),
    "rgb16_lzw.tif": (tiff16(SIXTEEN[..., :3], photometric="rgb", compression="lzw"), 3, 16),
    "rgba16.tif": (tiff16(SIXTEEN, photometric="rgb", extrasamples=["unassalpha"]), 4, 16),
    "premultiplied16.tif": (tiff16(SIXTEEN, photometric="rgb", extrasamples=["assocalpha"]), 4, 16),
    "white_is_zero16.tif": (tiff16(SIXTEEN[..., 0], photometric="miniswhite"), 1, 16),
    "big16.tif": (tiff16(SIXTEEN[..., :3], photometric="rgb", bigtiff=True), 3, 16),
    "turned1.png": (turned(1), 3, 8),
    "turned3.png": (turned(3), 3, 8),
    "turned_wrongly.png": (turned(99), 3, 8),
    "animated.webp": (animation("WEBP"), 3, 8),
    "animated.gif": (animation("GIF"), 3, 8),
    "animated.png": (animation("PNG"), 3, 8),
    "pages.tif": (animation("TIFF"), 3, 8),
    "broken_profile.png": (saved(RGB, "PNG", icc_profile=b"no profile"), 3, 8),
    "png_named.jpg": (PNG, 3, 8),
    "junk_after_its_end.png": (PNG + b"\0" * 100, 3, 8),
    "ünïcödé 图 🙂.png": (PNG, 3, 8),
    "-flag.png": (PNG, 3, 8),
    "[brackets]*.png": (PNG, 3, 8),
}
OTHER_SIZES = {
    "turned6.png": (turned(6), (WIDTH, HEIGHT)),
    "turned8.png": (turned(8), (WIDTH, HEIGHT)),
    "dot.png": (saved(RGB.resize((1, 1)), "PNG"), (1, 1)),
    "row.png": (saved(RGB.resize((301, 1)), "PNG"), (1, 301)),
    "column.jpg": (saved(RGB.resize((1, 301)), "JPEG"), (301, 1)),
}
# What is refused, and words of the sentence.
BAD = {
    "empty.png": (b"", "not an image"),
    "text.png": (b"no picture at all", "not an image"),
    "page.jpg": (b"<!doctype html><html><body>404</body></html>", "not an image"),
    "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "archive.png": (b"PK\3\4" + b"\0" * 60, "not an image"),
    "only_a_signature.png": (PNG[:8], "image"),
    "cut_header.png": (PNG[:20], "cannot be read"),
    "cut_pixels.png": (saved(Image.fromarray(RNG.integers(0, 256, (90, 90, 3), np.uint8)), "PNG")[:9000], "truncated"),
    "cut.jpg": (saved(RGB.resize((200, 200)), "JPEG", quality=95)[:2000], "truncated"),
    "cut.webp": (saved(RGB.resize((200, 200)), "WEBP")[:100], "cannot be read"),
    "cut.tif": (saved(RGB, "TIFF")[:100], "cannot be read"),
    "cut16.png": (png16(SIXTEEN)[:200], "cannot be read"),
    "cut16.tif": (tiff16(SIXTEEN, photometric="rgb")[:300], "cannot be read"),
    "cut.bmp": (saved(RGB, "BMP")[:60], "image"),
    "wrong_checksum.png": (png(WIDTH, HEIGHT, data=b"\0" * HEIGHT * (1 + 3 * WIDTH), crc=1), "image"),
    "too_few_pixels.png": (png(WIDTH, HEIGHT, data=b"\0"), "truncated"),
    "no_width.png": (png(0, HEIGHT), "not an image"),
    "no_height.png": (png(WIDTH, 0), "image"),
    "bomb.png": (png(60000, 60000, data=b"\0" * 10**6), "decompression bomb"),
    "bomb16.png": (png(60000, 60000, depth=16, data=b"\0" * 10**6), "decompression bomb"),
    "bomb.bmp": (
        saved(RGB, "BMP")[:18] + struct.pack("<ii", 50000, 50000) + saved(RGB, "BMP")[26:],
        "decompression bomb",
    ),
    "bomb.gif": (b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + b"\0" * 6, "image"),
    "impossible_depth.png": (png(WIDTH, HEIGHT, depth=7), "image"),
    "floats.tif": (
        saved(Image.fromarray(RGB8[..., 0].astype(np.float32)), "TIFF"),
        "has float32 levels, whose range is not known",
    ),
    "integers.tif": (
        saved(Image.fromarray(RGB8[..., 0].astype(np.int32) * 10**6), "TIFF"),
        "has int32 levels, whose range is not known",
    ),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(folder of the results, {name of a file: the sentence on it})."""
    folder, out = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("large")
    for name, (content, *_) in (GOOD | OTHER_SIZES | BAD).items():
        # A folder each, as some differ in their extension only.
        (folder / name).mkdir()
        (folder / name / name).write_bytes(content)
    ckpt = write_bicubic_network(folder.parent / "bicubic.safetensors")
    failures = batch.upscale_files([folder], out, lambda: generators.load(ckpt))
    sentences = {}
    for failure in failures:
        name = next(name for name in BAD | GOOD | OTHER_SIZES if f"/{name}/{name}" in failure)
        sentences[name] = failure
    return out, sentences


def result(out, name):
    return (out / name / name).with_suffix(".png")


def test_the_corpus_is_large():
    assert len(GOOD | OTHER_SIZES | BAD) >= 80


@pytest.mark.parametrize("name", GOOD)
def test_good(run, name):
    out, sentences = run
    assert name not in sentences
    photo, (_, channels, bits) = read_photo(result(out, name)), GOOD[name]
    assert photo.colour.shape[:2] == (4 * HEIGHT, 4 * WIDTH)
    assert photo.colour.shape[2] + (photo.alpha is not None) == channels
    assert photo.colour.dtype == {8: np.uint8, 16: np.uint16}[bits]


@pytest.mark.parametrize("name", OTHER_SIZES)
def test_other_sizes(run, name):
    out, sentences = run
    assert name not in sentences
    height, width = OTHER_SIZES[name][1]
    assert read_photo(result(out, name)).colour.shape == (4 * height, 4 * width, 3)


@pytest.mark.parametrize("name", BAD)
def test_bad(run, name):
    out, sentences = run
    assert BAD[name][1] in sentences[name] and "\n" not in sentences[name]
    assert not result(out, name).exists()


def test_nothing_else_is_left(run):
    out, _ = run
    written = {path for path in out.rglob("*") if path.is_file()}
    assert written == {result(out, name) for name in GOOD | OTHER_SIZES}
