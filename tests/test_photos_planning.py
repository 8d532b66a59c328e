"""Where results go, which files are left out and why, and what is said before and after."""

import pathlib

import numpy as np
import pytest
from PIL import Image
from tiny import write_bicubic_network

import srgan_jax
from srgan_jax import generators, progress
from srgan_jax.commands import upscale as upscale_command
from srgan_jax.errors import InputError
from srgan_jax.photos import batch, planning
from srgan_jax.photos.planning import Options, left_out, plan
from srgan_jax.upscaling import Upscaler

NEXT = Options(suffix="_x4")


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return write_bicubic_network(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def holiday(tmp_path):
    folder = tmp_path / "holiday"
    (folder / "deeper").mkdir(parents=True)
    Image.new("RGB", (6, 5), "red").save(folder / "a.jpg")
    Image.new("L", (5, 6)).save(folder / "deeper" / "b.png")
    for name in ("raw.NEF", "clip.mp4", "drawing.svg", "notes.txt", ".hidden.nef"):
        (folder / name).write_bytes(b"")
    return folder


def targets(jobs):
    return [job.target.name for job in jobs]


def test_results_stand_beside_their_photos(holiday, ckpt, capsys):
    assert batch.upscale_files([holiday / "a.jpg"], None, lambda: generators.load(ckpt)) == []
    with Image.open(holiday / "a_x4.png") as picture:
        assert picture.size == (24, 20)
    assert f"{holiday / 'a_x4.png'}, 24 × 20, " in capsys.readouterr().out


def test_those_of_a_folder_are_in_a_folder_beside_it(holiday):
    jobs = plan([holiday], None, NEXT)
    beside = holiday.with_name("holiday_x4")
    assert [job.target for job in jobs] == [beside / "a.png", beside / "deeper" / "b.png"]


def test_the_folder_one_stands_in(holiday, monkeypatch):
    monkeypatch.chdir(holiday)
    assert plan([pathlib.Path(".")], None, NEXT)[0].target == holiday.with_name("holiday_x4") / "a.png"


def test_results_of_an_earlier_run_are_no_inputs(holiday):
    Image.new("RGB", (6, 5)).save(holiday / "c.png")
    Image.new("RGB", (24, 20)).save(holiday / "c_x4.png")
    jobs = plan(sorted(holiday.glob("c*.png")), None, NEXT)
    assert [(job.source.name, job.target.name) for job in jobs] == [("c.png", "c_x4.png")]


def test_photos_of_one_stem_get_names_of_their_own(holiday):
    Image.new("RGB", (6, 5)).save(holiday / "a.png")
    assert targets(plan([holiday / "a.jpg", holiday / "a.png"], None, NEXT)) == ["a_jpg_x4.png", "a_png_x4.png"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"suffix": "-large"}, "a-large.png"),
        ({"suffix": "_x2", "format": "webp"}, "a_x2.webp"),
        ({"suffix": ""}, "a.png"),
    ],
)
def test_suffix_and_format(holiday, options, name):
    assert targets(plan([holiday / "a.jpg"], None, Options(**options))) == [name]


def test_a_suffix_within_a_folder_that_is_named(holiday, tmp_path):
    jobs = plan([holiday], tmp_path / "out", Options(suffix="-large"))
    assert [job.target.relative_to(tmp_path / "out").as_posix() for job in jobs] == [
        "a-large.png",
        "deeper/b-large.png",
    ]


def test_without_a_suffix_no_photo_is_overwritten(holiday):
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        plan([holiday / "deeper" / "b.png"], None, Options(suffix=""))


def test_a_suffix_is_part_of_a_name(holiday):
    with pytest.raises(InputError, match="cannot stand in the name of a file"):
        planning.check_options(Options(suffix="../x"))


def test_what_is_left_out_is_named_with_the_reason(holiday):
    (holiday / "img.heic").write_bytes(b"")
    sentences = "\n".join(left_out([holiday]))
    assert f"{holiday / 'raw.NEF'} (raw photos of cameras have to be developed" in sentences
    assert f"{holiday / 'clip.mp4'} (videos are enlarged one at a time" in sentences
    assert f"{holiday / 'drawing.svg'} (save it as PNG first" in sentences
    assert "notes.txt" not in sentences and "hidden" not in sentences and "a.jpg" not in sentences


def test_heic_without_its_reader_names_the_extra(holiday, monkeypatch):
    monkeypatch.setattr(planning, "readable_extensions", lambda: [".jpg", ".png"])
    for i in range(7):
        (holiday / f"img{i}.heic").write_bytes(b"")
    (sentence,) = [text for text in left_out([holiday]) if "img0.heic" in text]
    assert "img4.heic and 2 more (HEIC needs pillow-heif: pip install" in sentence


def test_a_folder_of_nothing_readable_says_what_is_in_it(tmp_path):
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "dsc.arw").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds no images.*Left out: .*dsc\.arw \(raw photos"):
        plan([tmp_path / "card"], None, NEXT)


def test_heic_is_read_and_keeps_its_metadata(ckpt, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x013B] = "A. Name"
    picture = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    pillow_heif.from_pillow(picture).save(tmp_path / "in.heic", exif=exif.tobytes(), quality=95)
    assert batch.upscale_files([tmp_path / "in.heic"], None, lambda: generators.load(ckpt)) == []
    with Image.open(tmp_path / "in_x4.png") as result:
        assert result.size == (256, 192) and result.getexif()[0x013B] == "A. Name"
        assert np.abs(np.asarray(result.resize(picture.size)).astype(int) - np.asarray(picture)).mean() < 3


def test_metadata_are_kept_unless_they_are_to_be_stripped(tmp_path, ckpt, monkeypatch):
    exif = Image.Exif()
    exif[0x013B] = "A. Name"
    Image.new("RGB", (8, 8)).save(tmp_path / "in.jpg", exif=exif)
    for flags, artist in (([], "A. Name"), (["--strip-metadata"], None), (["--keep-metadata"], "A. Name")):
        arguments = [str(tmp_path / "in.jpg"), "-o", str(tmp_path / "out.png"), "--ckpt", str(ckpt), *flags]
        assert upscale_command.run(upscale_command.parse_arguments(arguments)) == 0
        with Image.open(tmp_path / "out.png") as result:
            assert result.getexif().get(0x013B) == artist


def test_a_forecast_of_minutes(holiday, ckpt, monkeypatch):
    upscaler = Upscaler(srgan_jax.load(ckpt))
    assert batch.forecast([holiday / "a.jpg"], [upscaler]) is None
    monkeypatch.setattr(batch, "_WORTH_A_FORECAST", 1)
    monkeypatch.setattr(batch, "_LONG", 0.0)
    said = batch.forecast([holiday / "a.jpg", holiday / "deeper" / "b.png", holiday / "none.png"], [upscaler])
    assert said.startswith("This will take about ") and "0 megapixels" in said
    assert batch.forecast([holiday / "a.jpg"], [Upscaler(srgan_jax.load(ckpt), tile=0)]) is None


def test_quiet_prints_nothing(holiday, ckpt, tmp_path, capfd):
    arguments = [str(holiday), "-o", str(tmp_path / "out"), "--ckpt", str(ckpt), "--quiet"]
    try:
        assert upscale_command.run(upscale_command.parse_arguments(arguments)) == 0
    finally:
        progress.be_quiet(False)
    assert capfd.readouterr() == ("", "")
