"""What the package shows of itself: names, printed models, licences, messages about what is not there."""

import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import tomllib

import numpy as np
import pytest
from tiny import write_bicubic_network

import srgan_jax
from srgan_jax import errors, generators
from srgan_jax.commands import overview, upscale
from srgan_jax.commands.common import report_input_errors
from srgan_jax.errors import InputError
from srgan_jax.evaluation.methods import create_method
from srgan_jax.exchange.export import export
from srgan_jax.upscaling import Upscaler
from srgan_jax.upscaling.options import check_scale
from srgan_jax.weights.arrays import read_header

ROOT = pathlib.Path(__file__).parents[1]


def run_python(code, **environment):
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


def test_the_core_imports_nothing_of_training():
    """Who only enlarges pictures neither installs nor waits for the packages of training and evaluation."""
    done = run_python(
        """
        import sys
        import srgan_jax
        import srgan_jax.commands.upscale, srgan_jax.photos.batch, srgan_jax.photos.video
        srgan_jax.load("srresnet-x4")
        extras = {"optax", "orbax", "ml_collections", "tensorboardX", "skimage", "tensorflow_datasets", "array_record"}
        extras |= {"jinja2", "av", "torch", "wandb", "mlflow", "matplotlib", "pandas"}
        print(*sorted(extras & set(sys.modules)))
        """
    )
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


def test_options_are_checked_without_jax():
    done = run_python(
        """
        import sys
        from srgan_jax.commands import upscale
        sys.argv = ["srgan-upscale", "photo.jpg", "--scale", "99"]
        try:
            upscale.main()
        except SystemExit as stop:
            print(stop.code, "jax" in sys.modules)
        """
    )
    assert done.stdout.split() == ["2", "False"]
    assert done.stderr == "Error: --scale: 99.0 is no number above 0 and at most 64.\n"


@pytest.mark.parametrize(("command", "package"), [("train", "ml_collections"), ("demo", "optax")])
def test_a_command_names_the_extra_that_it_lacks(command, package):
    done = run_python(
        f"""
        import sys
        sys.modules["{package}"] = None
        import srgan_jax.commands.{command}
        """
    )
    assert (
        done.returncode == 2 and done.stderr == f"Error: this needs {package}: pip install -r requirements-train.txt\n"
    )


def test_extras_are_named_where_there_is_no_checkout(monkeypatch):
    assert errors.install("convert") == "pip install -r requirements-convert.txt"
    monkeypatch.setattr(errors, "__file__", "/usr/lib/python3/site-packages/srgan_jax/errors.py")
    assert errors.install("convert") == "pip install 'srgan-jax[convert]'"


def test_every_requirements_file_is_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["tool"]["setuptools"]["dynamic"]["optional-dependencies"]
    files = {path.name for path in ROOT.glob("requirements-*.txt")}
    assert {value["file"][0] for value in extras.values()} == files
    assert all(value["file"] == [f"requirements-{name}.txt"] for name, value in extras.items())


def test_the_overview_knows_every_command(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(overview.COMMANDS) >= set(project["project"]["scripts"])
    overview.main([])
    assert "enlarge photos" in capsys.readouterr().out


def test_load_is_a_public_name():
    assert "load" in dir(srgan_jax) and set(srgan_jax.__all__) == {"__version__", "load"}


def test_a_model_prints_as_one_line(tmp_path):
    text = repr(srgan_jax.load(write_bicubic_network(tmp_path / "small.safetensors")))
    assert "small.safetensors" in text and "srresnet, 4 times, 3 channels" in text and len(text) < 300


@pytest.mark.parametrize("name", generators.shipped_names())
def test_shipped_files_say_what_they_may_be_used_for_and_run_in_pytorch(name):
    header = read_header(generators.SHIPPED / f"{name}.safetensors")
    assert "research use only" in json.loads(header["license"])
    assert json.loads(header["graph"])  # what docs/pytorch_generator.py runs
    assert "research use" in (generators.SHIPPED / f"{name}.md").read_text(encoding="utf-8")
    assert generators.load(name).invents == (name == "srgan-x4")


@pytest.mark.parametrize("scale", [0, -1, 1e9])
def test_upscale_checks_its_scale(tmp_path, scale):
    model = srgan_jax.load(write_bicubic_network(tmp_path / "small.safetensors"))
    with pytest.raises(InputError, match="is no number above 0 and at most 64"):
        model.upscale(np.zeros((8, 8, 3), np.uint8), scale=scale)


def test_a_scale_in_a_string_is_no_number():
    with pytest.raises(InputError, match="'2' is no number"):
        check_scale("2")


def test_upscale_explains_that_a_path_is_no_picture(tmp_path):
    model = srgan_jax.load(write_bicubic_network(tmp_path / "small.safetensors"))
    with pytest.raises(InputError, match=r"got the path 'x\.png'; open it first: PIL\.Image\.open"):
        model.upscale("x.png")


def test_a_wasteful_tile_is_said_to_be_one(tmp_path, caplog):
    model = srgan_jax.load(write_bicubic_network(tmp_path / "small.safetensors"))
    Upscaler(model, tile=640)
    assert not caplog.records
    Upscaler(model, tile=4)
    assert "times the work" in caplog.text


def test_an_unknown_method_is_told_of_the_interpolations():
    names = ", ".join(sorted(["bicubic", "nearest", *generators.shipped_names()]))
    with pytest.raises(InputError, match=f"choose from {names}"):
        create_method("lanczos")


def test_a_state_dict_of_the_papers_network_is_no_dead_end(tmp_path):
    model = srgan_jax.load("srresnet-x4")
    with pytest.raises(
        InputError, match=r"no layout .* holds this network; write \.onnx .* docs/pytorch_generator\.py"
    ):
        export(model, tmp_path / "s.pth")


def test_errors_of_the_system_name_the_file(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"), report_input_errors():
        pathlib.Path(tmp_path / "none" / "file").write_text("")
    assert f"{tmp_path / 'none' / 'file'}: cannot be read or written (No such file" in capsys.readouterr().err


def test_a_shell_completes_the_flags(capsys):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit, match="0"):
        upscale.parse_arguments(["--print-completion", "bash"])
    assert "--strip-metadata" in capsys.readouterr().out
    assert "print_completion" not in vars(upscale.parse_arguments(["photo.jpg"]))


def test_what_pypi_shows_links_to_the_repository(tmp_path):
    """The release workflow rewrites its checkout; a page on PyPI has no files beside it."""
    (tmp_path / ".ci").mkdir()
    for name in (".ci/link_to_repository", "README.md", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, tmp_path / ".ci/link_to_repository", "https://example.org/us/srgan_jax/", "v1.2.3"]
    subprocess.run(command, check=True)
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", readme)
    assert all(link.startswith(("https://", "#")) for link in links)
    assert "](https://example.org/us/srgan_jax/raw/v1.2.3/docs/comparison.png)" in readme
    for link in links:
        if link.startswith("https://example.org/us/srgan_jax/"):
            assert (ROOT / link.split("/v1.2.3/")[1].partition("#")[0]).exists(), link
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Repository"] == "https://example.org/us/srgan_jax" and "Paper" in project["urls"]


@pytest.mark.parametrize("then", ["time.sleep(60)", "raise ImportError('an extension could not be initialised')"])
def test_ctrl_c_ends_a_program_that_loses_the_exception(then):
    """As the garbage collector's callbacks do, and packages while they are imported."""
    done = run_python(
        f"""
        import signal, time
        from srgan_jax.commands.common import report_input_errors
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background programs ignore Ctrl-C
        with report_input_errors():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                pass
            {then}
        """
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_what_is_logged_beside_an_error_is_not_printed():
    done = run_python(
        """
        import logging
        from srgan_jax.commands.common import report_input_errors
        from srgan_jax.errors import InputError
        with report_input_errors():
            for name in ("PIL.TiffImagePlugin", "tifffile", "asyncio"):
                logging.getLogger(name).error("a remark")
            raise InputError("the disk is full.")
        """
    )
    assert (done.returncode, done.stderr) == (2, "Error: the disk is full.\n")
