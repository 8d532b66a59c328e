"""What is behind the page in the browser: jobs, one photo, archives. None of this needs Gradio."""

import io
import math
import stat
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image
from tiny import write_bicubic_network

from srgan_jax import generators
from srgan_jax.app import archives, enlarging, texts
from srgan_jax.app.archives import Limits, enlarge_archive
from srgan_jax.app.enlarging import Wishes, enlarge_file
from srgan_jax.app.jobs import CancelledError, Job, Sessions
from srgan_jax.commands.app import parse_arguments
from srgan_jax.errors import InputError
from srgan_jax.images import decode_image
from srgan_jax.metrics import fidelity

DESCRIPTION = 0x010E  # EXIF's tag


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_bicubic_network(tmp_path_factory.mktemp("model") / "bicubic.safetensors"))


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))


def run(work):
    """The result of a job."""
    *_, result = Job(work).watch(every=0.01)
    return result


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_job_tells_its_share_and_the_time_left():
    clock = Clock()
    job = Job(lambda job: None, clock=clock)
    job.total = 10
    assert job.progress().left is None
    clock.now = 8.0  # the first tile is compiled as well, and takes 8 s
    job.advance(2)
    assert job.progress().share == 0.2 and job.progress().left == pytest.approx(8 / 2 * 8)
    clock.now = 10.0  # from the second on, only what came after the first counts: 2 units in 2 s
    job.advance(2)
    assert job.progress().left == pytest.approx(6.0)
    clock.now = 12.0
    assert job.progress().left == pytest.approx(4.0) and job.progress().elapsed == 12.0


def test_a_known_pace_forecasts_before_the_first_tile():
    clock = Clock()
    job = Job(lambda job: None, pace=0.5, clock=clock)
    job.total = 10
    clock.now = 1.0
    assert job.progress().left == pytest.approx(4.0)


def test_a_cancelled_job_ends_at_its_next_tile():
    tiles = []

    def work(job):
        for tile in range(1000):
            job.cancel() if tile == 3 else None
            job.advance(1)
            tiles.append(tile)

    with pytest.raises(CancelledError):
        run(work)
    assert tiles == [0, 1, 2]


def test_a_job_that_nobody_watches_any_more_is_cancelled():
    ended = threading.Event()

    def work(job):
        try:
            while True:
                job.check()
        finally:
            ended.set()

    watching = Job(work).watch(every=0.01)
    assert next(watching).share == 0
    watching.close()
    assert ended.wait(timeout=30)


def test_an_error_of_the_work_is_raised():
    def work(job):
        raise InputError("no picture.")

    with pytest.raises(InputError, match=r"^no picture\.$"):
        run(work)


def test_sessions_remember_the_pace_of_a_kind_of_work():
    sessions = Sessions()

    def work(job):
        job.total = 4
        job.advance(4)
        return "done"

    sessions.expect("page")
    assert sessions.forecast("quick", 10) is None
    assert list(sessions.run("page", "quick", work))[-1] == "done"
    assert sessions.forecast("quick", 20) == 2 * sessions.forecast("quick", 10) > 0
    assert sessions.forecast("slow", 10) is None


def test_a_job_is_cancelled_while_it_waits():
    sessions = Sessions()
    sessions.expect("page")
    sessions.cancel("page")
    with pytest.raises(CancelledError):
        next(sessions.run("page", "quick", lambda job: pytest.fail("it must not run")))


def test_the_end_of_the_server_cancels_every_job():
    sessions = Sessions()

    def work(job):
        while True:
            job.check()

    sessions.expect("page")
    watching = sessions.run("page", "quick", work)
    next(watching)
    sessions.cancel_all()
    with pytest.raises(CancelledError):
        list(watching)


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("photo.jpg", "JPEG", "photo_x4.jpg"),
        ("PHOTO.JPEG", "JPEG", "PHOTO_x4.JPEG"),
        ("photo.gif", "GIF", "photo_gif_x4.png"),
        ("photo.png", "JPEG", "photo_png_x4.jpg"),  # the contents count
        ("a.b.tif", "TIFF", "a.b_x4.tif"),
    ],
)
def test_the_result_has_the_format_of_the_photo(tmp_path, picture, name, kind, target):
    picture.save(tmp_path / name, kind)
    assert enlarging.target_of(tmp_path / name, 4)[0] == target


def test_a_photo_comes_back_in_its_format_with_its_metadata_and_figures(tmp_path, picture, model):
    exif = picture.getexif()
    exif[DESCRIPTION] = "a noisy square"
    picture.save(tmp_path / "photo.png", exif=exif)
    units = []

    def work(job):
        result = enlarge_file(tmp_path / "photo.png", tmp_path, Wishes(model), job, megapixels=1)
        units.append(job.progress().share)
        return result

    shown = run(work)
    assert units == [1.0]
    assert shown.path.name == "photo_x4.png" and shown.size == (120, 160) and shown.whole
    with Image.open(shown.path) as result:
        assert result.getexif()[DESCRIPTION] == "a noisy square"
        sr = np.array(result)
    np.testing.assert_array_equal(sr, generators.load(model).upscale(np.array(picture)))
    assert [decode_image(path).shape for path in (shown.before, shown.after)] == [(120, 160, 3)] * 2
    figures = {figure.label: figure for figure in shown.figures}
    assert set(figures) == {"LR-PSNR (dB)", "contrast kept", "grid"}
    expected = fidelity.lr_psnr(sr, np.array(picture), scale=4)
    assert figures["LR-PSNR (dB)"].ours == f"{expected:.2f}" and math.isfinite(expected)
    # The network of this test is bicubic interpolation, but for rounding.
    assert float(figures["LR-PSNR (dB)"].bicubic) == pytest.approx(expected, abs=0.1)


def test_metadata_can_be_left_out_and_another_size_chosen(tmp_path, picture, model):
    exif = picture.getexif()
    exif[DESCRIPTION] = "a noisy square"
    picture.save(tmp_path / "photo.jpg", exif=exif)
    wishes = Wishes(model, scale=2, metadata=False)
    shown = run(lambda job: enlarge_file(tmp_path / "photo.jpg", tmp_path, wishes, job, megapixels=1))
    with Image.open(shown.path) as result:
        assert shown.path.name == "photo_x2.jpg" and result.size == (80, 60) and not dict(result.getexif())
    assert [figure.label for figure in shown.figures] == ["LR-PSNR (dB)", "contrast kept"]


def test_a_large_result_is_shown_by_its_middle(monkeypatch):
    assert enlarging.middle_of((1000, 2000)) == (slice(0, 1000), slice(0, 2000))
    monkeypatch.setattr(enlarging, "SHOWN", 500_000)
    assert enlarging.middle_of((1000, 2000)) == (slice(250, 750), slice(500, 1500))


def test_too_large_a_photo_is_refused_by_its_header(tmp_path, model):
    Image.new("L", (2000, 1001)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match=r"^large.png has 2,000 × 1,001 pixels.* 2.0 megapixels.* at most 2; reduce"):
        run(lambda job: enlarge_file(tmp_path / "large.png", tmp_path, Wishes(model), job, megapixels=2))


def test_what_is_no_picture_is_refused(tmp_path, model):
    (tmp_path / "photo.jpg").write_text("no picture")
    with pytest.raises(InputError, match=r"photo.jpg: not an image"):
        run(lambda job: enlarge_file(tmp_path / "photo.jpg", tmp_path, Wishes(model), job, megapixels=2))


def make_zip(path, files):
    """Write a zip archive of {name: bytes or Pillow image}."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            if isinstance(content, Image.Image):
                data = io.BytesIO()
                content.save(data, "PNG")
                content = data.getvalue()
            archive.writestr(name, content)
    return path


def enlarge_zip(path, folder, model, **limits):
    folder.mkdir(exist_ok=True)
    return run(lambda job: enlarge_archive(path, folder, Wishes(model), job, limits=Limits(**limits)))


def test_an_archive_comes_back_with_its_folders_and_says_what_is_missing(tmp_path, picture, model):
    files = {
        "a.png": picture,
        "holiday/a.png": picture.convert("L"),
        "holiday/broken.png": b"no picture",
        "notes.txt": b"not a picture either",
        "__MACOSX/._a.png": b"litter",
    }
    result = enlarge_zip(make_zip(tmp_path / "all.zip", files), tmp_path / "work", model)
    assert result.path.name == "all_x4.zip"
    with zipfile.ZipFile(result.path) as archive:
        assert sorted(archive.namelist()) == ["a_x4.png", "holiday/a_x4.png", "not_enlarged.txt"]
        with Image.open(archive.open("holiday/a_x4.png")) as enlarged:
            assert enlarged.size == (160, 120) and enlarged.mode == "L"
        missing = archive.read("not_enlarged.txt").decode()
    assert "holiday/broken.png: not an image" in missing and "notes.txt: its name is not" in missing
    assert str(tmp_path) not in missing and "000002" not in missing
    failed = {line.name: line.failed for line in result.lines}
    assert failed == {"a_x4.png": False, "holiday/a_x4.png": False, "holiday/broken.png": True, "notes.txt": True}


@pytest.mark.parametrize("name", ["../a.png", "holiday/../../a.png", "/etc/a.png", "..\\a.png", "C:\\a.png"])
def test_names_that_lead_out_of_a_folder_are_refused(tmp_path, picture, model, name):
    path = make_zip(tmp_path / "all.zip", {"good.png": picture, name: picture})
    with pytest.raises(InputError, match=r"all.zip holds the name .* leads out of a folder"):
        enlarge_zip(path, tmp_path / "work", model)
    assert not list(tmp_path.glob("**/a.png"))


def test_links_are_refused(tmp_path, picture, model):
    path, link = tmp_path / "all.zip", zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    make_zip(path, {"good.png": picture})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match=r"holds the link 'link.png'"):
        enlarge_zip(path, tmp_path / "work", model)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, model):
    path = make_zip(tmp_path / "bomb.zip", {"bomb.png": bytes(3_000_000)})
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match=r"bomb.zip would unpack to 3 megabytes.* at most 2\."):
        enlarge_zip(path, tmp_path / "work", model, megabytes=2)
    assert not list((tmp_path / "work" / "photos").iterdir())


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path, model):
    path = make_zip(tmp_path / "bomb.zip", {"bomb.png": bytes(3_000_000)})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24  # the unpacked size in the central directory
    data[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"bomb.zip is no zip archive that can be read"):
        enlarge_zip(path, tmp_path / "work", model, megabytes=2)
    assert all(file.stat().st_size <= 1000 for file in (tmp_path / "work" / "photos").iterdir())


@pytest.mark.parametrize(
    ("files", "limits", "message"),
    [
        ({"notes.txt": b""}, {}, "all.zip holds no pictures"),
        ({f"{n}.png": b"" for n in range(3)}, {"pictures": 2}, "holds 3 pictures, and this page takes at most 2"),
        ({"a.png": b"no picture"}, {}, "none of its files could be enlarged; a.png: not an image"),
    ],
)
def test_archives_without_anything_to_do_are_refused(tmp_path, model, files, limits, message):
    with pytest.raises(InputError, match=message):
        enlarge_zip(make_zip(tmp_path / "all.zip", files), tmp_path / "work", model, **limits)
    assert not list((tmp_path / "work").glob("*.zip"))


def test_what_is_no_archive_is_refused(tmp_path, model):
    (tmp_path / "all.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"all.zip is no zip archive"):
        enlarge_zip(tmp_path / "all.zip", tmp_path / "work", model)


def test_a_cancelled_archive_leaves_nothing_under_its_name(tmp_path, picture, model):
    path = make_zip(tmp_path / "all.zip", {"a.png": picture, "b.png": picture})
    (tmp_path / "work").mkdir()

    def work(job):
        advance, job.advance = job.advance, lambda units: (job.cancel(), advance(units))
        return enlarge_archive(path, tmp_path / "work", Wishes(model), job, limits=Limits())

    with pytest.raises(CancelledError):
        run(work)
    assert not list((tmp_path / "work").glob("*.zip"))


def test_names_are_escaped_on_the_page():
    line = archives.Line("<b>.png", "<i>", failed=True)
    assert "<b>" not in texts.lines([line]) and "&lt;b&gt;.png" in texts.lines([line])
    assert "&lt;b&gt;" in texts.wrong("<b>") and "&lt;b&gt;" in texts.note("<b>")


def test_flags(capsys):
    flags = parse_arguments(["srgan-x4", "--port", "8000", "--max-megapixels", "0.5"])
    assert (flags.models, flags.host, flags.port, flags.max_megapixels) == (["srgan-x4"], "127.0.0.1", 8000, 0.5)
    for wrong, said in (("--max-megapixels=0", "0 is no number above 0"), ("--port=99999", "99999 is no port")):
        with pytest.raises(SystemExit):
            parse_arguments([wrong])
        assert said in capsys.readouterr().err
