"""Picture files in, larger picture files out. What kinds of picture there are: test_pictures_corpus.py."""

import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms
from skimage import color
from tiny import write_bicubic_network

from srgan_jax import files, generators
from srgan_jax.commands import upscale as upscale_command
from srgan_jax.errors import InputError
from srgan_jax.photos import batch
from srgan_jax.photos.batch import Options
from srgan_jax.photos.codecs import read_photo, write_photo
from srgan_jax.photos.photo import Photo
from srgan_jax.upscaling.tiles import Enlargement

RGB = Image.fromarray(
    np.kron(np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'
SIZE = (20, 12)
LARGE = (80, 48)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return write_bicubic_network(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    RGB.save(folder / "rgb.png")
    RGB.convert("L").save(folder / "deeper" / "grey.jpg")
    (folder / "text.png").write_text("no picture")
    return folder


def upscale_files(inputs, out, *, ckpt, options=None):
    return batch.upscale_files(inputs, out, lambda: generators.load(ckpt), options)


def written(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def test_folder_keeps_its_structure_and_goes_on_after_bad_files(pictures, ckpt, tmp_path):
    out = tmp_path / "out"
    failures = upscale_files([pictures], out, ckpt=ckpt)
    assert len(failures) == 1 and failures[0].startswith(f"{pictures / 'text.png'}: not an image")
    assert written(out) == ["deeper/grey.png", "rgb.png"]
    for name, mode in (("rgb.png", "RGB"), ("deeper/grey.png", "L")):
        with Image.open(out / name) as picture:
            assert (picture.size, picture.mode) == (LARGE, mode)


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("large.webp", Options(), "WEBP"),
        ("large.JPG", Options(), "JPEG"),
        ("large.tiff", Options(), "TIFF"),
        ("large.bmp", Options(), "BMP"),
        ("large", Options(format="tif"), "TIFF"),  # the folder
        ("large.jpg", Options(format="jpeg", quality=30), "JPEG"),
    ],
)
def test_format_by_extension_or_option(pictures, ckpt, tmp_path, name, options, kind):
    assert upscale_files([pictures / "rgb.png"], tmp_path / name, ckpt=ckpt, options=options) == []
    path = tmp_path / name
    with Image.open(path / "rgb.tif" if path.is_dir() else path) as picture:
        assert (picture.format, picture.size) == (kind, LARGE)


def test_quality(pictures, ckpt, tmp_path):
    sizes = []
    for quality in (20, None, 100):
        path = tmp_path / f"{quality}.jpg"
        upscale_files([pictures / "rgb.png"], path, ckpt=ckpt, options=Options(quality=quality))
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1] < sizes[2]
    upscale_files([pictures / "rgb.png"], tmp_path / "exact.webp", ckpt=ckpt, options=Options(quality=100))
    upscale_files([pictures / "rgb.png"], tmp_path / "exact.png", ckpt=ckpt)
    exact = [read_photo(tmp_path / name).colour for name in ("exact.webp", "exact.png")]
    np.testing.assert_array_equal(*exact)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif"])
def test_metadata_and_colour_profile(ckpt, tmp_path, extension):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Artist] = 6, "A. Name"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] = SIZE[0]
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSMapDatum] = "WGS-84"
    RGB.save(tmp_path / "in.jpg", exif=exif, icc_profile=SRGB, xmp=XMP)
    for keep in (False, True):
        out = tmp_path / f"{keep}.{extension}"
        upscale_files([tmp_path / "in.jpg"], out, ckpt=ckpt, options=Options(keep_metadata=keep))
        with Image.open(out) as picture:
            assert picture.size == LARGE[::-1] and picture.info["icc_profile"] == SRGB
            found = picture.getexif()
            assert ExifTags.Base.Orientation not in found
            assert found.get(ExifTags.Base.Artist) == ("A. Name" if keep else None)
            assert found.get_ifd(ExifTags.IFD.GPSInfo) == ({ExifTags.GPS.GPSMapDatum: "WGS-84"} if keep else {})
            assert ExifTags.Base.ExifImageWidth not in found.get_ifd(ExifTags.IFD.Exif)
            assert picture.info.get("xmp") == (XMP if keep else None)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif"])
def test_metadata_in_nested_tables_alone(tmp_path, extension):
    exif, path = Image.Exif(), tmp_path / f"out.{extension}"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSMapDatum] = "WGS-84"
    write_photo(path, Photo(np.zeros((8, 8, 3), np.uint8), exif=exif), metadata=True)
    assert read_photo(path).exif.get_ifd(ExifTags.IFD.GPSInfo) == {ExifTags.GPS.GPSMapDatum: "WGS-84"}


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_sixteen_bits_keep_metadata_and_profile(ckpt, tmp_path, extension):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "A. Name"
    levels = np.random.default_rng(0).integers(0, 65536, (3, 4, 3), np.uint16).repeat(4, 0).repeat(4, 1)
    write_photo(tmp_path / f"in.{extension}", Photo(levels, None, SRGB, exif, XMP), metadata=True)
    out = tmp_path / f"out.{extension}"
    upscale_files([tmp_path / f"in.{extension}"], out, ckpt=ckpt, options=Options(keep_metadata=True))
    photo = read_photo(out)
    assert photo.icc == SRGB and photo.exif[ExifTags.Base.Artist] == "A. Name" and photo.xmp == XMP
    # All of the 16 bits: flat areas keep their level to 1 in 65536.
    assert photo.colour.dtype == np.uint16
    assert np.abs(photo.colour[7::16, 7::16].astype(int) - levels[2::4, 2::4]).max() <= 2
    with Image.open(out) as picture:  # another reader sees the same, in 8 bits
        assert picture.info["xmp"] == XMP
        assert np.abs(np.asarray(picture).astype(int) - photo.colour // 256).max() <= 1


def test_cmyk_without_a_usable_profile(ckpt, tmp_path):
    # A profile for RGB numbers is no CMYK profile: without a usable one Pillow's own formula is used.
    RGB.convert("CMYK").save(tmp_path / "plain.tif")
    RGB.convert("CMYK").save(tmp_path / "profile.tif", icc_profile=SRGB)
    upscale_files([tmp_path / "*.tif"], tmp_path / "out", ckpt=ckpt)
    plain, profile = (read_photo(tmp_path / "out" / f"{name}.png") for name in ("plain", "profile"))
    assert plain.icc is None and profile.icc is None
    np.testing.assert_array_equal(plain.colour, profile.colour)
    assert np.abs(plain.colour[8::16, 8::16].astype(int) - np.asarray(RGB)[2::4, 2::4]).max() < 12


def make_cmyk_profile(lab) -> bytes:
    """An ICC profile (version 2) that knows the Lab of each of the 16 mixtures of full inks: uint8 [2, 2, 2, 2, 3]."""
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(np.eye(3, dtype=int).ravel() << 16))
    table += 4 * ramp + lab.tobytes() + 3 * ramp
    white = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * x) for x in (0.9642, 1, 0.8249)))
    tags, offset, entries = {b"A2B0": table, b"wtpt": white}, 128 + 4 + 24, b""
    for name, data in tags.items():
        entries += name + struct.pack(">II", offset, len(data))
        offset += len(data)
    header = struct.pack(">I4sI4s4s4s12s4s", offset, b"", 0x02100000, b"prtr", b"CMYK", b"Lab ", b"", b"acsp")
    header = header + bytes(28) + white[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + b"".join(tags.values())


def test_cmyk_is_converted_by_its_profile(ckpt, tmp_path):
    # Inks that no printer has: magenta prints green (Lab 50, -40, 30), everything else black.
    lab = np.zeros((2, 2, 2, 2, 3), np.uint8) + np.array([0, 128, 128], np.uint8)
    lab[0, 0, 0, 0], lab[0, 1, 0, 0] = (255, 128, 128), (128, 88, 158)
    cmyk = np.zeros((12, 12, 4), np.uint8)
    cmyk[:, 6:, 1] = 255
    Image.frombytes("CMYK", (12, 12), cmyk.tobytes()).save(tmp_path / "in.tif", icc_profile=make_cmyk_profile(lab))
    upscale_files([tmp_path / "in.tif"], tmp_path / "out.png", ckpt=ckpt)
    photo = read_photo(tmp_path / "out.png")
    assert photo.icc is None and photo.colour[24, 4].min() >= 250
    expected = 255 * color.lab2rgb([128 / 255 * 100, -40, 30])
    np.testing.assert_allclose(photo.colour[24, 44], expected, atol=10)


def test_no_halo_around_what_is_seen(ckpt, tmp_path):
    """A red disc cut out of a green background that is hidden: no green anywhere near what is seen."""
    y, x = np.mgrid[:24, :24] - 11.5
    seen = x**2 + y**2 < 64
    rgba = np.where(seen[..., None], [200, 20, 10, 255], [0, 255, 0, 0]).astype(np.uint8)
    Image.fromarray(rgba).save(tmp_path / "disc.png")
    upscale_files([tmp_path / "disc.png"], tmp_path / "large.png", ckpt=ckpt)
    photo = read_photo(tmp_path / "large.png")
    alpha = photo.alpha[..., 0]
    assert alpha.max() == 255 and alpha.min() == 0
    assert np.abs(photo.colour[alpha > 0].astype(int) - [200, 20, 10]).max() <= 1
    assert abs((alpha / 255).sum() / (16 * seen.sum()) - 1) < 0.02
    upscale_files([tmp_path / "disc.png"], tmp_path / "white.jpg", ckpt=ckpt, options=Options(quality=100))
    corner, middle = (read_photo(tmp_path / "white.jpg").colour[i, i].astype(int) for i in (2, 48))
    assert corner.min() > 250 and np.abs(middle - [200, 20, 10]).max() < 6


@pytest.mark.parametrize(
    ("scale", "size"), [(2, (40, 24)), (1.5, (30, 18)), (3.3, (66, 40)), (6, (120, 72)), (0.1, (2, 2))]
)
def test_any_scale(pictures, ckpt, tmp_path, scale, size):
    upscale_files([pictures / "rgb.png"], tmp_path / "out.png", ckpt=ckpt, options=Options(scale=scale))
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == size


def test_compare_is_written_beside(pictures, ckpt, tmp_path):
    upscale_files([pictures / "rgb.png"], tmp_path / "out.png", ckpt=ckpt, options=Options(compare=True))
    assert written(tmp_path)[-2:] == ["out.png", "out_compare.png"]
    pair = read_photo(tmp_path / "out_compare.png").colour
    assert pair.shape[1] == 2 * LARGE[0] + 6
    # This network is bicubic interpolation, but for the border and for rounding between the two passes.
    left, right = pair[30:-10, 10:70].astype(int), pair[30:-10, 96:156].astype(int)
    assert np.abs(left - right).mean() < 1 and right.std() > 20


def test_resume_leaves_out_what_is_done(pictures, ckpt, tmp_path):
    out = tmp_path / "out"
    upscale_files([pictures], out, ckpt=ckpt)
    (out / "rgb.png").write_text("kept")
    (out / "deeper" / "grey.png").unlink()
    failures = upscale_files([pictures], out, ckpt=ckpt, options=Options(resume=True))
    assert len(failures) == 1 and "text.png" in failures[0]
    assert (out / "rgb.png").read_text() == "kept" and (out / "deeper" / "grey.png").exists()
    (pictures / "text.png").unlink()
    assert upscale_files([pictures], out, ckpt="not even loaded", options=Options(resume=True)) == []


def test_patterns(pictures, ckpt, tmp_path):
    (pictures / "text.png").unlink()
    RGB.save(pictures / "[x].png")
    patterns = [f"{pictures}/r*.png", f"{pictures}/**/*.jpg", f"{pictures}/[x].png"]
    assert upscale_files(patterns, tmp_path / "out", ckpt=ckpt) == []
    assert written(tmp_path / "out") == ["[x].png", "grey.png", "rgb.png"]


def test_results_inside_of_the_folder_are_no_inputs(pictures, ckpt):
    (pictures / "text.png").unlink()
    for _ in range(2):
        assert upscale_files([pictures], pictures / "large", ckpt=ckpt) == []
    assert written(pictures / "large") == ["deeper/grey.png", "rgb.png"]


@pytest.mark.parametrize(
    ("inputs", "out", "options", "message"),
    [
        (["missing.png"], "out", {}, "no such file or directory"),
        (["*.xyz"], "out", {}, "nothing matches this pattern"),
        (["rgb.png"], "out.xyz", {}, "no image format to write has this extension"),
        (["rgb.png", "text.png"], "out.png", {}, "several pictures need a folder"),
        (["rgb.png"], "in/rgb.png", {}, "is an input and would be overwritten"),
        (["."], "in", {}, "is an input and would be overwritten"),
        (["rgb.png", "deeper/rgb.png"], "out", {}, "would both be written"),
        (["rgb.png"], "out.png", {"format": "jpg"}, "^format: jpg is asked for under the name .*out.png"),
        (["rgb.png"], "in/hard_link.png", {}, "is an input and would be overwritten"),
        (["rgb.png", "text.png"], "in/link_to_in", {}, "is an input and would be overwritten"),
        (["."], "out_with_a_link", {}, "leads out of"),
        (["rgb.png"], "out", {"format": "gif"}, "no image format 'gif' to write; choose from bmp"),
        (["rgb.png"], "out", {"format": "jpgg"}, "did you mean 'jpeg'"),
        (["rgb.png"], "out", {"scale": 0}, "^scale: 0 is no number above 0 and at most 64"),
        (["rgb.png"], "out", {"scale": float("nan")}, "^scale: nan is no number"),
        (["rgb.png"], "out", {"quality": 101}, "^quality: 101 is not from 1 to 100"),
        (["rgb.png"], "out", {"tile": -1}, "^tile: -1 is no number of pixels"),
    ],
)
def test_refused_before_anything_is_computed(pictures, tmp_path, inputs, out, options, message):
    RGB.save(pictures / "deeper" / "rgb.png")
    os.link(pictures / "rgb.png", pictures / "hard_link.png")
    (pictures / "link_to_in").symlink_to(pictures)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out_with_a_link").mkdir()
    (tmp_path / "out_with_a_link" / "deeper").symlink_to(tmp_path / "elsewhere")
    before = written(tmp_path)
    with pytest.raises(InputError, match=message):
        upscale_files([pictures / name for name in inputs], tmp_path / out, ckpt="unused", options=Options(**options))
    assert written(tmp_path) == before and not (tmp_path / "out").exists()


def test_one_picture_twice_and_two_of_one_name(pictures, ckpt, tmp_path):
    """A picture that is named twice is enlarged once, and two of one stem get names of their own."""
    (pictures / "text.png").unlink()
    RGB.save(pictures / "rgb.jpg")
    inputs = [pictures / "rgb.png", pictures, pictures / "deeper" / ".." / "rgb.png"]
    assert upscale_files(inputs, tmp_path / "out", ckpt=ckpt) == []
    assert written(tmp_path / "out") == ["deeper/grey.png", "rgb_jpg.png", "rgb_png.png"]


def test_levels_of_unknown_range_are_named(ckpt, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((8, 8, 3), np.float32), photometric="rgb")
    failures = upscale_files([tmp_path / "float.tif"], tmp_path / "out.png", ckpt=ckpt)
    assert len(failures) == 1 and "has float32 levels, whose range is not known" in failures[0]


def test_comparisons_count_as_results(pictures, tmp_path):
    RGB.save(pictures / "rgb_compare.png")
    with pytest.raises(InputError, match="would both be written to"):
        upscale_files([pictures], tmp_path / "out", ckpt="unused", options=Options(compare=True))


def test_full_disk(ckpt, tmp_path):
    """Files of more than 4000 bytes cannot be written: one picture fails, the other goes on."""
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(noise).save(tmp_path / "in" / "noise.png")
    Image.new("RGB", SIZE).save(tmp_path / "in" / "flat.png")
    upscale_files([tmp_path / "in"], tmp_path / "compiled", ckpt=ckpt)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        failures = upscale_files([tmp_path / "in"], tmp_path / "out", ckpt=ckpt)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failures == [f"{tmp_path / 'out' / 'noise.png'}: cannot be written (File too large)."]
    assert written(tmp_path / "out") == ["flat.png"]


def test_too_large_for_the_format(ckpt, tmp_path):
    Image.new("L", (5000, 1)).save(tmp_path / "long.png")
    failures = upscale_files([tmp_path / "long.png"], tmp_path / "long.webp", ckpt=ckpt)
    assert len(failures) == 1 and "20000 x 4 pixels, and WEBP holds at most 16383" in failures[0]
    assert not (tmp_path / "long.webp").exists()


def test_no_memory_for_one_picture(pictures, ckpt, tmp_path, monkeypatch):
    prepare = Enlargement.prepare

    def too_large(item, lr, **keywords):
        if lr.shape[2] == 1:
            raise MemoryError
        return prepare(item, lr, **keywords)

    monkeypatch.setattr(Enlargement, "prepare", too_large)
    failures = upscale_files([pictures], tmp_path / "out", ckpt=ckpt)
    assert "do not fit into the main memory" in failures[0] and len(failures) == 2
    assert written(tmp_path / "out") == ["rgb.png"]


def test_a_network_of_another_number_of_channels(pictures, tmp_path):
    four = write_bicubic_network(tmp_path / "four.safetensors", channels=4)
    failures = upscale_files([pictures / "rgb.png"], tmp_path / "out.png", ckpt=four)
    assert failures == [f"{pictures / 'rgb.png'}: the network enlarges pictures of 4 channels, this one has 3."]


def test_command(pictures, ckpt, tmp_path):
    """As a user runs it: exit status, messages, and compiled programs kept where they belong."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")} | {"XDG_CACHE_HOME": str(tmp_path)}
    samples = {"photometric": "rgb", "planarconfig": "contig", "extrasamples": [0] * 397}  # Pillow logs an error, too
    tifffile.imwrite(pictures / "samples.tif", np.zeros((8, 8, 400), np.uint8), **samples)
    command = [sys.executable, "upscale.py", pictures, "-o", tmp_path / "out", "--ckpt", ckpt]
    done = subprocess.run(
        command, cwd=pathlib.Path(__file__).parents[1], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for name in ("samples.tif", "text.png"):
        assert f"Error: {pictures / name}: not an image that Pillow can read.\n" in done.stderr
    assert "samples per pixel" not in done.stderr
    assert "%|" not in done.stderr and "\r" not in done.stderr  # no bar where there is no terminal
    assert f"{tmp_path / 'out' / 'rgb.png'}, 80 × 48, " in done.stdout and "2 pictures, 0.0 megapixels, " in done.stdout
    assert written(tmp_path / "out") == ["deeper/grey.png", "rgb.png"]


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x"),
        ("linux", {}, "~/.cache"),
        ("darwin", {}, "~/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l"),
    ],
)
def test_cache_directory(monkeypatch, platform, variables, expected):
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert files.cache_directory() == pathlib.Path(expected).expanduser()


def test_style_names_a_shipped_model(capsys):
    models = {
        tuple(flags): upscale_command.parse_arguments(["a.png", *flags]).ckpt
        for flags in ([], ["--style", "faithful"], ["--style", "sharp"], ["--fast"], ["--ckpt", "runs/mine"])
    }
    assert list(models.values()) == ["srgan-x4", "srresnet-x4", "srgan-x4", "fast-x4", "runs/mine"]
    for style in upscale_command.STYLES.values():
        assert (generators.SHIPPED / f"{style}.safetensors").is_file()
    for style in upscale_command.STYLES:
        with pytest.raises(SystemExit, match="2"):
            upscale_command.parse_arguments(["a.png", "--style", style, "--ckpt", "runs/mine"])
        assert "argument --ckpt: not allowed with argument --style" in capsys.readouterr().err


def test_blend_needs_both_flags(capsys):
    with pytest.raises(SystemExit, match="2"):
        upscale_command.parse_arguments(["a.png", "-o", "b.png", "--ckpt", "c", "--blend", "0.5"])
    assert "need each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tile", "-1"], "^--tile: -1 is no number of pixels"),
        (["--scale", "99"], "^--scale: 99.0 is no number above 0 and at most 64"),
        (["--quality", "0"], "^--quality: 0 is not from 1 to 100"),
        (["--format", "gif"], "^--format: no image format 'gif'"),
        (["--max-invention", "256"], "^--max-invention: 256.0 is no number of levels from 0 to 255"),
        (["--map", "map.jpg"], "^--map: map.jpg is no PNG"),
        (["--blend-with", "srresnet-x4", "--blend", "1.5"], "^--blend: 1.5 is no number from 0 to 1"),
    ],
)
def test_the_command_names_its_flags(pictures, tmp_path, flags, message):
    arguments = [str(pictures / "rgb.png"), "-o", str(tmp_path / "out.png"), *flags]
    with pytest.raises(InputError, match=message):
        upscale_command.run(upscale_command.parse_arguments(arguments))


def test_flags_that_are_not_given_leave_the_defaults(pictures, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(batch, "upscale_files", lambda inputs, out, load, options, **_: seen.append(options) or [])
    arguments = [str(pictures / "rgb.png"), "-o", str(tmp_path / "out.png")]
    for flags in ([], ["--tile", "0", "--no-consistent", "--resume"]):
        upscale_command.run(upscale_command.parse_arguments(arguments + flags))
    assert seen == [Options(), Options(tile=0, consistent=False, resume=True)]
