"""The page in a browser: headless Chromium against a server of its own, as a user has both."""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pytest
from PIL import Image
from tiny import write_bicubic_network

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZES = {"wide": (1280, 900), "phone": (390, 844)}

# The command line, which notes every address that the server connects to or asks for.
SERVER = """
import sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = arguments[1][0] if event == "socket.connect" else arguments[0]
        print("contacts", host, file=sys.stderr, flush=True)

sys.addaudithook(hook)
from srgan_jax.commands.app import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(address, file with the hosts that the server contacts) of a server that takes two megapixels."""
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("server")
    model = write_bicubic_network(folder / "bicubic.safetensors")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = [str(model), "--port", str(port), "--no-browser", "--max-megapixels", "2"]
    (folder / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(folder / "temporary")}
    with (folder / "errors.txt").open("w") as errors:
        command = [sys.executable, "-c", SERVER, *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process:
            try:
                line = process.stdout.readline()
                assert line.startswith(f"http://127.0.0.1:{port}/ "), (folder / "errors.txt").read_text()
                yield line.split()[0], folder / "errors.txt"
            finally:
                process.terminate()
    assert process.returncode == 143 and "Traceback" not in (folder / "errors.txt").read_text()
    left = [path.name for path in (folder / "temporary").iterdir()]
    assert not [name for name in left if "srgan-app" in name or "gradio" in name]  # no photo outlives the server


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("needs Chromium, such as Debian's package")
    with contextlib.ExitStack() as stack:
        chromium = stack.enter_context(playwright.sync_playwright()).chromium
        yield stack.enter_context(contextlib.closing(chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])))


@pytest.fixture(params=SIZES)
def page(request, server, browser):
    """The page in a window; at the end it must have asked no other computer for anything, nor reported an error."""
    width, height = SIZES[request.param]
    with contextlib.closing(browser.new_page(viewport={"width": width, "height": height})) as page:
        requests, errors = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(server[0])
        page.get_by_text("Enlarge photos").wait_for(timeout=60_000)
        yield page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert requests and all(url.startswith((server[0], "data:", "blob:")) for url in requests)
        assert not errors


def write_photo(path, side=60):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))
    exif = picture.getexif()
    exif[0x010E] = "noise"
    picture.save(path, exif=exif)
    return path


def test_a_photo_is_dropped_compared_and_downloaded(page, tmp_path):
    page.set_input_files("#photo input[type=file]", write_photo(tmp_path / "photo.jpg"))
    page.get_by_text("60 × 60 pixels become 240 × 240").wait_for(timeout=60_000)
    page.get_by_role("button", name="Enlarge", exact=True).click()
    page.locator("#download").wait_for(timeout=120_000)
    assert page.get_by_text("photo_x4.jpg: 240 × 240 pixels").is_visible()
    pictures = page.locator("#compared img")
    pictures.nth(1).wait_for()
    sizes = [pictures.nth(n).evaluate("picture => [picture.naturalWidth, picture.width]") for n in range(2)]
    assert sizes[0] == sizes[1] and sizes[0][0] == 240
    assert page.locator("#figures").get_by_text("LR-PSNR (dB)").is_visible()
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "photo_x4.jpg"
    download.value.save_as(tmp_path / "down.jpg")
    with Image.open(tmp_path / "down.jpg") as result:
        assert result.size == (240, 240) and result.format == "JPEG" and result.getexif()[0x010E] == "noise"


def test_a_job_is_cancelled_and_another_one_runs(page, tmp_path):
    page.set_input_files("#photo input[type=file]", write_photo(tmp_path / "large.png", 1200))
    page.get_by_text("1,200 × 1,200 pixels become").wait_for(timeout=60_000)
    page.get_by_role("button", name="Enlarge", exact=True).click()
    page.locator("[role=progressbar]").wait_for(timeout=60_000)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.", exact=True).wait_for(timeout=120_000)
    assert page.get_by_role("button", name="Enlarge", exact=True).is_visible()
    assert not page.locator("#download").is_visible()


def test_too_large_a_photo_gets_a_sentence(page, tmp_path):
    Image.new("L", (1500, 1500)).save(tmp_path / "large.png")
    page.set_input_files("#photo input[type=file]", tmp_path / "large.png")
    alert = page.get_by_role("alert").filter(has_text="large.png has 1,500 × 1,500 pixels")
    alert.wait_for(timeout=60_000)
    assert "takes at most 2" in alert.inner_text()


def test_an_archive_comes_back(page, tmp_path):
    data = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(data, "PNG")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("holiday/red.png", data.getvalue())
        archive.writestr("holiday/<b>.png", b"no picture")
    page.get_by_role("tab", name="Many photos").click()
    page.set_input_files("#archive input[type=file]", tmp_path / "all.zip")
    page.get_by_role("button", name="Enlarge all").click()
    page.locator("#download-all").wait_for(timeout=120_000)
    assert page.locator("#report").get_by_text("holiday/<b>.png").is_visible()
    with page.expect_download() as download:
        page.locator("#download-all").click()
    download.value.save_as(tmp_path / "down.zip")
    with zipfile.ZipFile(tmp_path / "down.zip") as archive:
        assert sorted(archive.namelist()) == ["holiday/red_x4.png", "not_enlarged.txt"]


def test_the_server_contacts_no_other_computer_and_answers_to_no_other_name(server):
    address, errors = server
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    rebound = urllib.request.Request(address, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(rebound)
    with refused.value:
        assert refused.value.code == 400
    contacted = {line.split()[1] for line in errors.read_text().splitlines() if line.startswith("contacts ")}
    assert contacted and contacted <= {"127.0.0.1", "localhost", "None"}
