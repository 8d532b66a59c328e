"""Pictures that declare too much, odd names, and damaged data sets: one sentence each, and the others go on."""

import io
import os
import struct
import threading

import numpy as np
import pytest
import tifffile
from PIL import Image
from test_sources import write_tfds
from tiny import make_tiny_config, write_bicubic_network

from srgan_jax import generators
from srgan_jax.data import fingerprint, sources
from srgan_jax.errors import InputError, printable
from srgan_jax.files import check_outputs
from srgan_jax.images import ImageError, decode_image, files
from srgan_jax.photos import batch
from srgan_jax.photos.codecs import read_photo
from srgan_jax.training import loop

RNG = np.random.default_rng(0)


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, photometric="minisblack", **options)
    return file.getvalue()


def with_tags(data, **values):
    """A little-endian TIFF in which some tags, such as ImageWidth, have other values (of four bytes)."""
    codes = {"ImageWidth": 256, "ImageLength": 257, "SamplesPerPixel": 277, "TileWidth": 322, "ImageDepth": 32997}
    data, (start,) = bytearray(data), struct.unpack_from("<I", data, 4)
    for entry in range(struct.unpack_from("<H", data, start)[0]):
        at = start + 2 + 12 * entry
        code = struct.unpack_from("<H", data, at)[0]
        for name, value in values.items():
            if codes[name] == code:
                struct.pack_into("<HII", data, at + 2, 4, 1, value)
    return bytes(data)


SMALL = np.zeros((32, 32), np.uint16)
DEEP = tiff(np.zeros((2, 32, 32), np.uint16), volumetric=True)
TILED = tiff(np.zeros((32, 32), np.uint8), tile=(16, 16))
TILED_16 = tiff(SMALL, tile=(16, 16))
BOMBS = {
    "samples.tif": with_tags(tiff(SMALL), ImageWidth=10_000, ImageLength=10_000, SamplesPerPixel=400),
    "layers.tif": with_tags(DEEP, ImageWidth=4_000, ImageLength=4_000, ImageDepth=2_000),
    "tiles.tif": with_tags(TILED, TileWidth=1 << 30),
    "tiles16.tif": with_tags(TILED_16, TileWidth=1 << 30),
    "wide16.tif": with_tags(tiff(SMALL), ImageWidth=40_000, ImageLength=40_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_a_header_declares_is_compared_with_the_budget(tmp_path, name):
    (tmp_path / name).write_bytes(BOMBS[name])
    with pytest.raises(ImageError, match=rf"{name}: .*decompression bomb"):
        read_photo(tmp_path / name)


def test_pictures_below_the_budget_are_read(tmp_path, monkeypatch):
    """The budget is of bytes as decoded: 32 × 32 pixels of four bytes in Pillow's RGB, of six in a 16-bit TIFF."""
    monkeypatch.setattr(files, "MAX_DECODED", 32 * 32 * 4)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "good.png")
    assert decode_image(tmp_path / "good.png").shape == read_photo(tmp_path / "good.png").colour.shape == (32, 32, 3)
    Image.fromarray(np.zeros((32, 33, 3), np.uint8)).save(tmp_path / "wide.png")
    for read in (decode_image, read_photo):
        with pytest.raises(ImageError, match=r"wide\.png: declares 33 x 32 pixels of 4 bytes, 4,224 bytes .* 4,096"):
            read(tmp_path / "wide.png")
    (tmp_path / "deep.tif").write_bytes(tiff(np.zeros((32, 32, 3), np.uint16), planarconfig="contig"))
    with pytest.raises(ImageError, match=r"32 x 32 pixels of 3 samples in 1 layers, 6,144 bytes"):
        read_photo(tmp_path / "deep.tif")


def test_a_picture_of_several_layers_is_refused(tmp_path):
    (tmp_path / "layers.tif").write_bytes(DEEP)
    with pytest.raises(ImageError, match=r"layers\.tif: has 2 layers"):
        read_photo(tmp_path / "layers.tif")


def test_large_pictures_are_decoded_one_by_one(monkeypatch):
    inside, most, lock = set(), [], threading.Lock()

    def decode(size):
        with files.within_budget("a picture", size):
            with lock:
                inside.add(threading.get_ident())
                most.append(len(inside))
            barrier.wait(0.05) if size > files.ALONE else None
            with lock:
                inside.discard(threading.get_ident())

    barrier = threading.Event()
    threads = [threading.Thread(target=decode, args=(files.ALONE + 1,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


@pytest.mark.parametrize("comments", [b"#" + b"x" * (1 << 20) + b"\n", b"#\n" * (1 << 19)], ids=["one", "many"])
@pytest.mark.parametrize("read", [decode_image, read_photo])
def test_comments_of_any_length_are_not_read_byte_by_byte(tmp_path, comments, read):
    pixels = bytes(range(12))
    (tmp_path / "long.ppm").write_bytes(b"P6\n" + comments + b"2 2\n255\n" + pixels)
    with pytest.raises(ImageError, match=r"long\.ppm: its header has more than 65,536 bytes"):
        read(tmp_path / "long.ppm")
    (tmp_path / "short.ppm").write_bytes(b"P6 # made by hand\n2 2\n255\n" + pixels + bytes(1 << 17))
    read(tmp_path / "short.ppm")


def test_grey_of_16_bits_is_rounded_as_before(tmp_path):
    levels = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(levels).save(tmp_path / "grey.png")
    expected = np.floor(levels / 257 + 0.5)
    np.testing.assert_array_equal(decode_image(tmp_path / "grey.png", channels=1)[..., 0], expected)


def test_stereo_pictures_are_found(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "pair.mpo", format="MPO")
    assert sources.FolderSource(tmp_path).names == ("pair.mpo",)
    assert sources.FolderSource(tmp_path)[0].shape == (8, 8, 3)


# Names.

NAMES = [b"red\x1b[31m.png", b"two\nlines.png", b"latin\xe9.png", b"turned\xe2\x80\xae.png"]
BAD_NAMES = [b"bad\x1b]0;title\x07.png", b"bad\xff\n.png"]


@pytest.fixture
def odd_names(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    try:
        for name in NAMES:
            with open(os.fsencode(folder) + b"/" + name, "wb") as file:
                Image.fromarray(RNG.integers(0, 256, (20, 20, 3), np.uint8)).save(file, "PNG")
        for name in BAD_NAMES:
            with open(os.fsencode(folder) + b"/" + name, "wb") as file:
                file.write(b"no picture")
    except OSError:
        pytest.skip("this file system does not take such names")
    (folder / "loop.png").symlink_to("pool.png")
    (folder / "pool.png").symlink_to("loop.png")
    return folder


def test_printable():
    assert printable("a\nb\x1b\udcff\u202e é图") == r"a\nb\x1b\udcff\u202e é图"
    assert str(InputError("a\nb: missing")) == r"a\nb: missing"
    inner = InputError("a\x07")
    assert str(ImageError(f"{inner}")) == r"a\x07", "an escape is not escaped again"


def test_odd_names_are_enlarged_and_printed_as_escapes(odd_names, tmp_path):
    ckpt = write_bicubic_network(tmp_path / "bicubic.safetensors")
    inputs = [odd_names, odd_names / "loop.png"]
    failures = batch.upscale_files(inputs, tmp_path / "large", lambda: generators.load(ckpt))
    assert len(failures) == 3 and all(failure.isprintable() for failure in failures)
    assert any(r"bad\x1b]0;title\x07.png: not an image" in failure for failure in failures)
    assert any(r"bad\udcff\n.png: not an image" in failure for failure in failures)
    assert any("loop.png: cannot be read (Too many levels of symbolic links)" in failure for failure in failures)
    assert sorted(os.listdir(os.fsencode(tmp_path / "large"))) == sorted(NAMES)


def test_outputs_are_checked_where_links_lead_to_each_other(odd_names, tmp_path):
    loop_of_links = odd_names / "loop.png"
    check_outputs([(tmp_path / "out.png", loop_of_links)], [loop_of_links])
    check_outputs([(loop_of_links / "out.png", "a picture")], [], folder=loop_of_links)


@pytest.mark.slow
def test_odd_names_are_trained_on(odd_names, tmp_path, capsys, caplog):
    """A picture that cannot be read is left out of the evaluation during training too."""
    config = make_tiny_config(
        data__source="folder", data__path=str(odd_names), data__holdout=0.5, num_steps=1, eval_every=1, save_every=1
    )
    loop.train(config, tmp_path / "run")
    (odd_names / "new\x1b3.png").write_bytes((odd_names / "red\x1b[31m.png").read_bytes())
    config.num_steps = 2
    loop.train(config, tmp_path / "run")
    assert r"1 added (new\x1b3.png)" in capsys.readouterr().err
    assert sum("left out of" in message for message in caplog.messages) >= len(BAD_NAMES)
    assert all(message.isprintable() for message in caplog.messages)


def test_names_that_are_no_utf_8_have_digests(odd_names):
    source = sources.FolderSource(odd_names)
    assert fingerprint.fingerprint(source)["count"] == len(NAMES + BAD_NAMES)
    assert [len(part) for part in sources.hold_out(source, 0.5)] == [3, 3]


# Damaged data sets.

DAMAGES = {
    "cut": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "flipped early": lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
    "flipped": lambda data: data[:200] + bytes([data[200] ^ 16]) + data[201:],
    "overwritten": lambda data: bytes(1000) + data[1000:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_shards_and_descriptions(tmp_path, damage):
    """A record comes back exactly, or its picture is left out in one sentence, or the data set is refused."""
    import tensorflow_datasets as tfds

    feature = tfds.features.Tensor(shape=(8, 8, 3), dtype=np.uint8, encoding="bytes")
    pictures = RNG.integers(0, 256, (5, 8, 8, 3), np.uint8)
    write_tfds(tmp_path, "crops", {"image": feature}, [{"image": pixels} for pixels in pictures])
    refused = 0
    for path in sorted((tmp_path / "crops" / "1.0.0").iterdir()):
        sound = path.read_bytes()
        path.write_bytes(DAMAGES[damage](sound))
        try:
            source = sources.TfdsSource("crops", split="train", data_dir=tmp_path)
            for index, pixels in enumerate(pictures):
                source.identity(index)
                try:
                    np.testing.assert_array_equal(source[index], pixels)
                except ImageError as error:
                    assert f"crops/train/{index}" in str(error)
                    refused += 1
        except sources.SourceError as error:
            assert str(error).startswith("crops")
            refused += 1
        path.write_bytes(sound)
    assert refused > 0
