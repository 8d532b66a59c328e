"""Studies of a few small pictures, a server that runs in a process of its own, and a browser made of httpx."""

import contextlib
import html
import re
import subprocess
import sys

import httpx
import numpy as np
from PIL import Image

from srgan_jax.study.creating import create

SIZES = ((32, 24), (40, 32), (24, 24))  # width, height


def write_folders(root, methods=("bicubic", "SRGAN"), *, sizes=SIZES):
    """Write noise as ROOT/HR/HR/*.png and ROOT/METHOD/Set/*.png; return the folder of HR and those of the methods."""
    rng = np.random.default_rng(0)
    for folder in ("HR/HR", *(f"{method}/Set" for method in methods)):
        (root / folder).mkdir(parents=True)
        for i, (width, height) in enumerate(sizes):
            extra = 2 if folder.startswith("HR") else 0  # HR is no multiple of the scale
            levels = rng.integers(0, 256, (height + extra, width + extra, 3), np.uint8)
            Image.fromarray(levels).save(root / folder / f"{i}.png")
    return root / "HR", [root / method for method in methods]


def make_study(root, **options):
    """Make a study in ROOT/study; return its folder."""
    originals, folders = write_folders(root)
    options = {"minimum_seconds": 0, "raters": 4} | options
    create(root / "study", list(map(str, folders)), data=[f"Set={originals}"], **options)
    return root / "study"


@contextlib.contextmanager
def serving(study, *flags):
    """Serve a study from a process of its own; lend (the process, the raters' link, the owner's link)."""
    command = [sys.executable, "-m", "srgan_jax.study", "serve", str(study), *(flags or ("--port", "0"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(2)]
            links = [re.search(r"http://\S+", line) for line in lines]
            assert all(links), lines + process.stdout.readlines()
            yield process, *(link.group() for link in links)
        finally:
            process.kill()
            process.stdout.read()


class Browser:
    """A rater's browser: it keeps cookies, sends the Origin of its page with forms, and does not follow redirects."""

    def __init__(self, address, **options):
        parts = httpx.URL(address)
        self.base = f"{parts.scheme}://{parts.netloc.decode()}"
        self.client = httpx.Client(base_url=self.base, trust_env=False, **options)

    def get(self, path, **options):
        return self.client.get(path, **options)

    def post(self, path, form, **headers):
        return self.client.post(path, data=form, headers={"origin": self.base} | headers)

    def begin(self, path="/", **form):
        """Agree to take part, and return the answer of the server."""
        return self.post("/begin", fields(self.get(path)) | {"consent": "yes"} | form)

    def form(self):
        """Return the form of the next picture."""
        return fields(self.get("/rate"))

    def close(self):
        self.client.close()


def fields(page):
    """Return the hidden fields of a page."""
    pairs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
    return {name: html.unescape(value) for name, value in pairs}
