"""Hostile pictures: real ones that are damaged, bombs, odd names, and things that are no files."""

import io
import os
import pathlib
import random
import resource
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from srgan_jax.data.sources import BuiltinSource, FileSource
from srgan_jax.evaluation.sets import read_exactly
from srgan_jax.images import ImageError
from tests.reliability import programs
from tests.reliability.campaign import Setting
from tests.tiny import write_bicubic_network

BATCH = 100  # pictures for one program
LARGEST = 120 * 120  # pixels; enlarging large pictures would only take time
MEMORY = 4 << 30  # bytes that one program may take at most
KINDS = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".ppm": "PPM"}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes of a file after one to four random changes."""
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(max(1, len(data) if rng.random() < 0.5 else min(len(data), 200)))
        length = rng.choice((1, 1, 1, 4, 32))
        junk = bytes(rng.choice((0, 255, rng.randrange(256))) for _ in range(length))
        data = rng.choice(
            (
                data[:at] + junk + data[at + length :],
                data[:at] + junk + data[at:],
                data[:at] + data[at + length :],
                data[:at],
                data[: at + length] + data[at:],
            )
        )
    return data


def seeds() -> list[tuple[str, bytes]]:
    """Return (extension, file) of sound pictures of all kinds, cut from photographs."""
    found, source = [], BuiltinSource()
    for index in range(3):
        image = Image.fromarray(source[index][100:148, 100:156])
        for extension, kind in KINDS.items():
            for mode in ("RGB", "L"):
                file = io.BytesIO()
                image.convert(mode).save(file, kind, **({"progressive": True} if kind == "JPEG" and index == 1 else {}))
                found.append((extension, file.getvalue()))
    return found


def bombs() -> dict[str, bytes]:
    """Return small files that declare large pictures."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def png(width: int, height: int, depth: int, colour: int) -> bytes:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")

    def tiff(**tags: int) -> bytes:
        codes = {
            "width": 256,
            "height": 257,
            "bits": 258,
            "samples": 277,
            "tile": 322,
            "tile_height": 323,
            "depth": 32997,
        }
        entries = {259: 1, 262: 1, 273: 8, 278: 1 << 20, 279: 4} | {codes[name]: value for name, value in tags.items()}
        body = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in sorted(entries.items()))
        return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + body + bytes(4)

    return {
        "wide.png": png(1 << 20, 1 << 20, 8, 2),
        "deep.png": png(13_000, 13_000, 16, 6),
        "wide.bmp": b"BM" + struct.pack("<IIIIiiHH", 99, 0, 54, 40, 60_000, 60_000, 1, 24) + bytes(24),
        "wide.gif": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x80\0\0" + bytes(6),
        "comment.ppm": b"P6\n#" + b"x" * (8 << 20) + b"\n2 2\n255\n" + bytes(12),
        "comments.ppm": b"P6\n" + b"#\n" * (4 << 20) + b"2 2\n255\n" + bytes(12),
        "samples.tif": tiff(width=9_000, height=9_000, bits=16, samples=400),
        "layers.tif": tiff(width=4_000, height=4_000, bits=16, samples=1, depth=2_000),
        "tiles.tif": tiff(width=9, height=9, bits=8, samples=1, tile=1 << 16, tile_height=1 << 16),
    }


def write_batch(folder: pathlib.Path, rng: random.Random, count: int, sound: list[tuple[str, bytes]]) -> list[str]:
    """Write hostile pictures into a folder. Return their names. Some are bombs, links, pipes, or oddly called."""
    folder.mkdir()
    files = [(f"bomb_{name}", data) for name, data in bombs().items()][: count // 4]
    while len(files) < count - 3:
        extension, data = rng.choice(sound)
        data = mutated(data, rng)
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > LARGEST:
                    continue
        except Exception:
            pass  # It cannot even be opened, which is what the programs are to find.
        extension = rng.choice((extension, extension, extension, ".png"))
        odd = rng.choice(("", "", "\n", "\x1b[31m", "\udcff", "ü", "%s{}"))
        files.append((f"{len(files):04d}{odd}{extension}", data))
    for name, data in files:
        (folder / name).write_bytes(data)
    (folder / "loop.png").symlink_to("pool.png")
    (folder / "pool.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    return [name for name, _ in files] + ["loop.png", "pool.png", "pipe.png"]


def pictures(setting: Setting) -> Iterator[str]:
    """Give hostile pictures to upscale.py, a folder at a time, and to the readers of training and evaluation."""
    ckpt, sound = write_bicubic_network(setting.folder / "bicubic.safetensors"), seeds()
    done = enlarged = 0
    slowest = 0.0
    while done < setting.tries:
        folder, out = setting.folder / f"in{done}", setting.folder / f"out{done}"
        names = write_batch(folder, setting.rng, min(BATCH, max(8, setting.tries - done)), sound)
        # The folder's own search leaves out what is no regular file, so such things are named one by one.
        inputs = [folder, *(folder / name for name in names[-3:])]
        ended = programs.Program("upscale.py", *inputs, "-o", out, "--ckpt", ckpt).end()
        slowest = max(slowest, ended.seconds)
        lines = ended.error.splitlines()
        common = ended.complaint(0, 1)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        if not common and memory > MEMORY:
            common = f"a program took {memory >> 20} MiB"
        if not common and (left := [path for path in out.rglob("*") if ".partial" in path.name]):
            common = f"{left[0].name} was left"
        for name in names:
            done += 1
            shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
            written = _is_written(out, name)
            enlarged += written
            said = sum(f"/{shown}:" in line for line in lines)
            complaint = common or _read(folder, name)
            if not complaint and written + said != 1:
                complaint = f"{said} sentences, and {'a' if written else 'no'} result"
            yield complaint and f"{shown}: {complaint}"
            if done == setting.tries:
                break
    setting.notes.append(
        f"{enlarged:,} of the pictures could be enlarged in spite of the damage. The slowest of the programs, of "
        f"{BATCH} pictures each, took {slowest:.0f} s. No program took more than {MEMORY >> 30} GiB of memory."
    )


def _is_written(out: pathlib.Path, name: str) -> bool:
    """Say whether a picture has a whole result. Pictures that differ in their extension alone get other names."""
    path = pathlib.PurePath(name)
    for candidate in (out / f"{path.stem}.png", out / f"{path.name.replace('.', '_')}.png"):
        if candidate.is_file():
            with Image.open(candidate) as image:
                return np.asarray(image).size > 0
    return False


def _read(folder: pathlib.Path, name: str) -> str:
    """Read a picture as training and evaluation do. Only an ImageError of one line is allowed."""
    source = FileSource(folder, [name])
    for what, read in (
        ("training", lambda: source[0]),
        ("its header", lambda: source.size(0)),
        ("evaluation", lambda: read_exactly(folder / name)),
    ):
        try:
            read()
        except ImageError as error:
            if not str(error).isprintable():
                return f"{what}: the message is no printable line"
        except Exception as error:
            return f"{what}: {type(error).__name__}: {error}"
    return ""
