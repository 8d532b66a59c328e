"""What is under deploy/: the files of a Space, and a notebook for Colab."""

import io
import json
import pathlib
import re
import runpy
import sys
import tomllib
import types

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
SPACE, NOTEBOOK = ROOT / "deploy" / "space", ROOT / "deploy" / "colab.ipynb"


def code_cells():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_space_names_its_files_and_a_version_of_gradio_that_we_allow():
    header = re.match(r"---\n(.*?)\n---\n", (SPACE / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    fields = dict(line.split(": ", 1) for line in header.splitlines())
    assert fields["sdk"] == "gradio" and (SPACE / fields["app_file"]).is_file()
    least, below = re.search(r"gradio>=([\d.]+),<(\d+)", (ROOT / "requirements-app.txt").read_text()).groups()
    version = [int(part) for part in fields["sdk_version"].split(".")]
    assert [int(part) for part in least.split(".")] <= version < [int(below)]
    assert len(fields["short_description"]) <= 60  # the Hub's limit


def test_the_space_and_the_notebook_install_extras_that_there_are():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["tool"]["setuptools"]["dynamic"]["optional-dependencies"]
    asked = (SPACE / "requirements.txt").read_text().split() + re.findall(r"srgan-jax\S*", code_cells()[0])
    assert len(asked) == 2
    for requirement in asked:
        name, listed = re.fullmatch(r"([\w-]+)(?:\[([\w,]+)\])?", requirement).groups()
        assert name == project["project"]["name"] and set(listed.split(",") if listed else ()) <= set(extras)


def test_the_space_serves_the_shipped_models_to_everybody(monkeypatch):
    served = []
    fake = types.ModuleType("srgan_jax.app.server")  # the real one needs Gradio; tests/test_app_browser.py tries it
    fake.serve = lambda models, **options: served.append((models, options))
    monkeypatch.setitem(sys.modules, "srgan_jax.app.server", fake)
    runpy.run_path(str(SPACE / "app.py"), run_name="__main__")
    [(models, options)] = served
    assert all((ROOT / "srgan_jax" / "pretrained" / f"{model}.safetensors").is_file() for model in models)
    assert (options["host"], options["port"]) == ("0.0.0.0", 7860) and options["limits"].megapixels == 1


@pytest.mark.slow
def test_the_notebook_enlarges_an_uploaded_photo(tmp_path, monkeypatch):
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)).save(data, "JPEG")
    downloaded = []
    colab = types.ModuleType("google.colab")
    colab.files = types.SimpleNamespace(upload=lambda: {"my.photo.jpg": data.getvalue()}, download=downloaded.append)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.chdir(tmp_path)
    install, *cells = code_cells()
    assert install.startswith("%pip install")
    names = {}
    for cell in cells:
        exec(cell, names)
    assert downloaded == ["my.photo_x4.png"] and names["both"].size == (2 * 48 + 8, 48)
    with Image.open(tmp_path / downloaded[0]) as result:
        assert result.size == (64, 48)
