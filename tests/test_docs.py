"""The documentation: links lead somewhere, and what it tells people to type exists."""

import argparse
import ast
import importlib
import itertools
import pathlib
import re
import shlex
import sys
import tomllib

import flax.linen as nn
import numpy as np
import pytest
from absl import flags

from scripts.site import markdown, tables
from srgan_jax import losses, trees
from srgan_jax.commands import train
from srgan_jax.configs import base
from srgan_jax.errors import InputError
from srgan_jax.losses import pixel

ROOT = pathlib.Path(__file__).parents[1]
WRITTEN = (".", "docs", "benchmarks", "srgan_jax/pretrained", ".github")  # folders of pages
PAGES = sorted(
    {page for folder in WRITTEN for page in (ROOT / folder).glob("*.md")}
    | {page for folder in ("docs", "deploy") for page in (ROOT / folder).rglob("*.md")}
)
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SCRIPTS = PROJECT["project"]["scripts"]
ROOT_SCRIPTS = {"upscale.py": "srgan-upscale", "eval.py": "srgan-eval", "train.py": "srgan-train"}

# Programs of others, whose flags are not looked at.
FOREIGN = ("source", "tfds", "docker", "tensorboard", "mpirun", "cd", "curl", "git", "huggingface-cli", "hf")
PLACEHOLDERS = {"N": "2", "I": "0"}


@pages
def test_links(page):
    text = page.read_text(encoding="utf-8")
    for target in filter(markdown.is_local, markdown.links(text)):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target}: no such file"
        assert linked == ROOT or ROOT in linked.parents, f"{target} leads out of the repository"
        if anchor and linked.suffix == ".md":
            assert anchor in markdown.anchors(linked.read_text(encoding="utf-8")), f"{target}: no such heading"


def shell_commands(text):
    """Every command in a page's blocks of shell, as a list of words."""
    for language, code in markdown.blocks(text):
        if language not in ("", "bash", "sh", "shell", "console"):
            continue
        for line in code.replace("\\\n", " ").splitlines():
            yield from commands_in(line.removeprefix("$ "))


def commands_in(line):
    """The commands of one line, without assignments before them and files after them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    words = []
    for word in [*lexer, ";"]:
        if word.strip(";&|"):
            words.append(word)
            continue
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            words.pop(0)
        if words:
            yield words[: words.index(">")] if ">" in words else words
        words = []


class ParsedError(Exception):
    """Raised when the arguments have been understood, before anything is done."""


def parse_with(main, words, patch):
    """Let a command parse its arguments, and stop it there."""
    depth = 0

    def stopping(method):
        def parse(self, *args, **options):
            nonlocal depth
            depth += 1
            try:
                parsed = method(self, *args, **options)
            finally:
                depth -= 1
            if not depth:
                raise ParsedError
            return parsed

        return parse

    with patch.context() as context, pytest.raises((ParsedError, SystemExit)) as stopped:
        for name in ("parse_args", "parse_known_args"):
            context.setattr(argparse.ArgumentParser, name, stopping(getattr(argparse.ArgumentParser, name)))
        context.setattr(sys, "argv", ["command", *words])
        main()
    if isinstance(stopped.value, SystemExit) and stopped.value.code:  # not 0, the status of --version
        raise stopped.value


def check_train(words, patch, *, elided):
    words = [word for word in words if word != "…"]
    if elided:  # what is left out are the two flags that every run needs
        words = [*words, "--config=configs/srresnet_mse.py", "--workdir=runs/any"]
    argv = ["train.py", *words]
    flags.FLAGS.unparse_flags()
    with patch.context() as context:
        context.setattr(sys, "argv", argv)  # where ml_collections looks for the fields
        try:
            assert train.parse_flags(argv)[1:] == []
        finally:
            for flag in [flag for flag in flags.FLAGS if flag.startswith("config.")]:
                delattr(flags.FLAGS, flag)  # it would be defined twice by the next command


def check_ours(command, words, patch, *, elided):
    module, _, function = SCRIPTS.get(command, f"{command}:main").partition(":")
    if module == train.__name__:
        check_train(words, patch, elided=elided)
    else:
        parse_with(getattr(importlib.import_module(module), function), words, patch)


def check_source(path, words):
    """Scripts that import much when they start: their flags stand in their code."""
    source = path.read_text(encoding="utf-8")
    for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert f'"{flag}"' in source, f"{path.name} has no flag {flag}"


def check_install(words):
    for file in (after for word, after in itertools.pairwise(words) if word == "-r"):
        assert (ROOT / file).is_file(), file
    for extras in re.findall(r"(?:^\.|srgan[-_]jax)\[([\w,]+)\]", "\n".join(words), flags=re.MULTILINE):
        known = PROJECT["tool"]["setuptools"]["dynamic"]["optional-dependencies"]
        assert set(extras.split(",")) <= set(known), extras


def check_command(words, patch):
    if "--print-completion" in words and not importlib.util.find_spec("shtab"):
        return
    elided = "…" in words
    words = [PLACEHOLDERS.get(word, word) for word in words]
    program, *rest = words
    program = re.sub(r"^\.venv/bin/", "", program)
    if program in ("python", "python3") and rest:
        if rest[0] == "-m" and rest[1].partition(".")[0] == "srgan_jax":
            command = next((name for name, target in SCRIPTS.items() if is_module_of(rest[1], target)), rest[1])
            check_ours(command, rest[2:], patch, elided=elided)
        elif rest[0] == "-m" and rest[1].startswith("scripts."):
            check_source(ROOT / f"{rest[1].replace('.', '/')}.py", rest[2:])
        elif rest[0] in ROOT_SCRIPTS:
            check_ours(ROOT_SCRIPTS[rest[0]], rest[1:], patch, elided=elided)
        elif rest[0].endswith(".py"):
            check_source(ROOT / rest[0], rest[1:])
        else:
            assert rest[:2] == ["-m", "venv"] or rest[:1] == ["-c"], words
    elif program in SCRIPTS:
        check_ours(program, rest, patch, elided=elided)
    elif program == "make":
        targets = [word for word in rest if "=" not in word]
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets), words
    elif program == "pip":
        check_install(rest)
    elif program in ("gcloud", "srun"):
        remote = [word.removeprefix("--command=") for word in rest if word.startswith("--command=")]
        for command in commands_in(remote[0]) if remote else [rest]:
            check_command(command, patch)
    else:
        path = pathlib.PurePosixPath(program)
        assert program in FOREIGN or (ROOT / path).is_file(), f"{program}: no such command ({' '.join(words)})"


def is_module_of(name, target):
    """Whether `python -m name` is the command whose entry point is `target`."""
    module = target.partition(":")[0]
    folder = ROOT / name.replace(".", "/")
    path = folder / "__main__.py" if folder.is_dir() else folder.with_suffix(".py")
    return name == module or (path.is_file() and f"commands.{module.rpartition('.')[2]} import" in path.read_text())


@pages
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections uses it
def test_commands(page, monkeypatch, capsys):
    for words in shell_commands(page.read_text(encoding="utf-8")):
        try:
            check_command(words, monkeypatch)
        except (SystemExit, InputError) as error:
            said = capsys.readouterr().err.strip().splitlines()[-1:] or [str(error)]
            pytest.fail(f"{' '.join(words)}\n{said[0]}")


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_wrong_commands_are_found(monkeypatch):
    for line in (
        "srgan-upscale photo.jpg --skale 2",
        "srgan-upscal photo.jpg",
        "python train.py --config configs/srresnet_mse.py --workdir runs/a --config.batch_sise=3",
        "srgan-weights relase runs/a -o a.safetensors",
        "python -m srgan_jax.data.crops --source folder:PHOTOS --size 192",
        "python -m scripts.train_release --hardwear cpu",
        "pip install '.[trian]'",
        "make demmo",
    ):
        with pytest.raises((SystemExit, InputError, AssertionError)):
            for words in commands_in(line):
                check_command(words, monkeypatch)


@pages
def test_names(page):
    """Commands, fields and files of requirements that are named anywhere in the text."""
    text = page.read_text(encoding="utf-8")
    models = {path.stem for path in (ROOT / "srgan_jax" / "pretrained").glob("*.safetensors")}
    for name in re.findall(r"`(srgan-[a-z]\w*)", text):
        assert name in {*SCRIPTS, *models, "srgan-jax"}, name
    fields = {*train.field_names(base.get_config()), *(f"losses.{term}" for term in losses.TERMS)}
    for field in re.findall(r"--config\.([a-z][\w.]*[a-z\d])", text):
        assert field in fields or page.name == "add_a_loss.md", field
    for file in re.findall(r"requirements(?:-[a-z]+)?\.txt", text):
        assert (ROOT / file).is_file(), file


@pages
def test_python_blocks(page):
    for language, code in markdown.blocks(page.read_text(encoding="utf-8")):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "srgan_jax":
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")


def test_loss_of_the_tutorial():
    """The function that docs/tutorials/add_a_loss.md adds computes what the page says."""
    text = (ROOT / "docs" / "tutorials" / "add_a_loss.md").read_text(encoding="utf-8")
    code = next(code for language, code in markdown.blocks(text) if language == "python")
    names = {"nn": nn, **vars(pixel)}
    exec(code, names)
    rng = np.random.default_rng(0)
    sr, hr = rng.uniform(-1, 1, (2, 3, 16, 24, 3)).astype(np.float32)
    value = losses.Term(names["blurred"]).generator(losses.Context(sr, hr))
    means = (sr - hr).reshape(3, 4, 4, 6, 4, 3).mean((2, 4))
    np.testing.assert_allclose(value, np.square(means).mean(), rtol=1e-5)


def test_tables():
    fields = tables.config_fields()
    for field in trees.flat(base.get_config().to_dict(), "."):
        assert f"| `{field}` |" in fields, field
    described = tables.models()
    for path in tables.MODELS.glob("*.safetensors"):
        assert f"[{path.stem}](" in described
    assert "| 1,548,547 | 31.16 | 27.86 | 27.21 |" in described  # srresnet-x4, as on its card
    assert re.search(r"@inproceedings\{ledig2017,\n  author = \{Ledig, Christian and Theis, Lucas", tables.citation())


def test_parts_of_commands_are_listed():
    said = tables.commands()
    assert "## srgan-weights" in said and "### srgan-weights release" in said and "--half" in said
    assert "## srgan-upscale" in said and "--ensemble" in said


def test_every_room_has_a_page():
    made = tables.room_pages()
    assert "::: srgan_jax.losses.pixel\n" in made["losses"]
    folders = {path.parent.name for path in (ROOT / "srgan_jax").glob("*/__init__.py")}
    assert folders - {"commands", "configs"} <= made.keys()


def test_docstrings_with_shared_entries():
    pytest.importorskip("griffe")
    from scripts.site.docstrings import split_entries

    text = "Compare.\n\nArgs:\n  sr, hr: two images\n    of one size.\n  scale: a number.\n\nRaises:\n  A, B: never."
    assert split_entries(text).splitlines()[2:9] == [
        "Args:",
        "  sr: two images",
        "    of one size.",
        "  hr: two images",
        "    of one size.",
        "  scale: a number.",
        "",
    ]
    assert split_entries(text).endswith("Raises:\n  A, B: never.")
