"""The documentation site as it is built: it has all pages, loads nothing from elsewhere, and suits phones."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scripts.site import markdown

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built without a warning."""
    pytest.importorskip("mkdocs", reason="needs requirements-docs.txt")
    out = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not done.stderr.strip()
    return out


def test_pages(site):
    for name in ("reference/rooms/losses.html", "srgan_jax/pretrained/srresnet-x4.html", "configs/base.py.html"):
        assert (site / name).is_file(), name
    assert "id=srgan_jax.losses.pixel.total_variation" in (site / "reference/rooms/losses.html").read_text().replace(
        '"', ""
    )
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file(), page
    searched = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    assert any(entry["location"].startswith("tutorials/photo.html") for entry in searched)
    assert not any(entry["location"].startswith("configs/base.py") for entry in searched)


def test_nothing_comes_from_elsewhere(site):
    loading = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]*)\"")
    linking = re.compile(r"<link\b(?=[^>]*rel=\"(?:stylesheet|preconnect|preload|icon)\")[^>]*href=\"([^\"]*)\"")
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for url in loading.findall(text) + linking.findall(text):
            assert markdown.is_local(url) or url.startswith("data:"), f"{page}: {url}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_markdown_is_understood(site):
    """MkDocs needs a blank line before a list or a table, where code hosts need none."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<!-- site:" not in text, page
        assert not re.search(r"<p>[^<]*\n(?:- |\* |1\. |\| )", text), page


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(site):
    """The site's address, and how to start a browser."""
    api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    if not CHROMIUM:
        pytest.skip("needs Chromium: apt-get install chromium, or set CHROMIUM to its program")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with api.sync_playwright() as started:
            browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            yield f"127.0.0.1:{server.server_port}", browser
            browser.close()
        server.shutdown()


def test_in_a_browser(served, site):
    """The search finds pages, no request leaves the site, and no page is wider than a phone."""
    host, browser = served
    page, hosts, errors = browser.new_page(viewport={"width": 1300, "height": 900}), set(), []
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"http://{host}/index.html")
    page.fill("input.md-search__input", "consistent")
    page.wait_for_selector(".md-search-result__item", timeout=120_000)
    page.set_viewport_size({"width": 390, "height": 800})
    for path in sorted(site.glob("*.html")) + sorted(site.glob("*/*.html")):
        page.goto(f"http://{host}/{path.relative_to(site).as_posix()}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert hosts == {host}
    assert errors == []
