"""The parts of the documentation site that are made from the code, so that no fact is written twice."""

import ast
import contextlib
import importlib
import io
import json
import math
import os
import pathlib
import re
import sys
import tomllib
from unittest import mock

import safetensors
import yaml

from srgan_jax.commands import train

ROOT = pathlib.Path(__file__).parents[2]
MODELS = ROOT / "srgan_jax" / "pretrained"
SPEED = ROOT / "benchmarks" / "upscale.md"
PAPER = {"network": "srresnet", "features": 64, "num_blocks": 16}  # the network whose speed benchmarks/upscale.md has
PROTOCOL = "matlab"
FIELDS = "\nfields:\n"  # what follows in the help of srgan-train has a page of its own


def table(heading: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown; bars in the cells are escaped."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (heading, *rows)]
    lines.insert(1, ["---"] * len(heading))
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def project() -> dict:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def config_fields() -> str:
    """Return a table for each part of configs/base.py: every field with its default and its comment."""
    parts, heading = {}, "The run"
    for line in train.field_lines():
        if field := re.match(r"  --config\.([\w.]+)=(.*?)(?:  (.*))?$", line):
            parts.setdefault(heading, []).append([f"`{field[1]}`", f"`{field[2]}`", field[3] or ""])
        elif line.startswith("\n"):
            heading = line.strip()
        else:
            heading += f" {line.strip()}"
    text = []
    for heading, rows in parts.items():
        # The first sentence is a heading, and what follows stands below it. What is in brackets ends no sentence.
        title, more = re.match(r"((?:\([^)]*\)|[^;.(]|\.(?=\S))*)[;.]? ?(.*)", heading).groups()
        text += [f"## {title}"] + ([more[0].upper() + more[1:]] if more else [])
        text.append(table(["field", "default", "meaning"], rows))
    return "\n\n".join(text)


def recipes() -> str:
    """Return the configs beside configs/base.py, each with its code."""
    paths = sorted(path for path in (ROOT / "configs").glob("*.py") if path.stem not in ("__init__", "base"))
    return "\n\n".join(f"## {path.stem}\n\n```python\n{path.read_text(encoding='utf-8')}```" for path in paths)


def scripts() -> dict[str, str]:
    """Return {command: "module:function"} of pyproject.toml."""
    return project()["project"]["scripts"]


def help_of(name: str, target: str, *arguments: str) -> str:
    """Return what a command prints for --help."""
    module, function = target.split(":")
    main, printed = getattr(importlib.import_module(module), function), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [name, *arguments, "--help"]),
        mock.patch.dict(os.environ, {"COLUMNS": "100"}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main()
    if not printed.getvalue():
        raise RuntimeError(f"{' '.join([name, *arguments])} --help prints nothing; is an extra missing?")
    return f"```text\n{printed.getvalue().partition(FIELDS)[0].rstrip()}\n```"


def commands() -> str:
    """Return what every command, and every part of one, prints for --help."""
    parts = []
    for name, target in scripts().items():
        said = help_of(name, target)
        parts += [f"## {name}", said]
        # argparse lists the parts of a command with an indentation of four.
        if "\n  COMMAND\n" in said:
            for part in re.findall(r"^    (\w+) +\w", said.partition("\n  COMMAND\n")[2], flags=re.MULTILINE):
                parts += [f"### {name} {part}", help_of(name, target, part)]
    return "\n\n".join(parts)


def _seconds_per_megapixel() -> str:
    """Return the seconds for a megapixel of the result; "" where they were not measured.

    They are those of the largest picture that the paper's network was measured on.
    """
    rows = re.findall(
        r"^\| (\d+)x(\d+) \| srgan_jax \| ([\d.]+) \|", SPEED.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    if not rows:
        return ""
    width, height, seconds = max(((int(w), int(h), float(s)) for w, h, s in rows), key=lambda row: row[0] * row[1])
    return f"{seconds / (16 * width * height / 1e6):.1f}"


def models() -> str:
    """Return a table of the released files, made from their headers."""
    described = {}
    for path in sorted(MODELS.glob("*.safetensors")):
        with safetensors.safe_open(path, "numpy") as file:
            info = {key: _parsed(value) for key, value in file.metadata().items()}
            shapes = [file.get_slice(name).get_shape() for name in file.keys() if name.startswith("params")]  # noqa: SIM118
        described[path.stem] = info | {"parameters": sum(map(math.prod, shapes))}
    means = {
        name: info.get("evaluation", {}).get("datasets", {}) if isinstance(info.get("evaluation"), dict) else {}
        for name, info in described.items()
    }
    sets = list(dict.fromkeys(dataset for scores in means.values() for dataset in scores))
    rows = []
    for name, info in described.items():
        architecture = info["architecture"]
        measured = all(architecture.get(key) == value for key, value in PAPER.items())
        scores = [means[name].get(dataset, {}).get("mean", {}).get(PROTOCOL, {}).get("psnr") for dataset in sets]
        rows.append(
            [
                f"[{name}](../srgan_jax/pretrained/{name}.md)",
                f"{architecture['network']}, ×{architecture['scale']}",
                f"{info['parameters']:,}",
                *(f"{score:.2f}" if score else "–" for score in scores),
                (_seconds_per_megapixel() if measured else "") or "–",
            ]
        )
    return table(["model", "network", "parameters", *sets, "s / megapixel"], rows)


def _parsed(value: str):
    with contextlib.suppress(ValueError):
        return json.loads(value)
    return value


def rooms() -> list[str]:
    """Return the rooms of the package, from the first to the last, as the contract of imports names them."""
    contract = project()["tool"]["importlinter"]["contracts"][0]
    names = [name for layer in contract["layers"] for name in re.split(" [:|] ", layer)]
    return [name for name in names if name != "srgan_jax.commands"]


def _file(module: str) -> pathlib.Path:
    """Return the file of a module, which is not imported."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _modules(room: str) -> list[str]:
    """Return a room's own module, and those below it that are not private."""
    folder = ROOT / room.replace(".", "/")
    names = (path.relative_to(folder).with_suffix("").as_posix() for path in sorted(folder.rglob("*.py")))
    return [
        room,
        *(f"{room}.{name.replace('/', '.')}" for name in names if "_" not in (name[0], name.rpartition("/")[2][0])),
    ]


def _code(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text(encoding="utf-8"))


def _exported(module: str) -> list[str]:
    """Return the names in a module's __all__."""
    for node in _code(module).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


def _own(module: str) -> list[str]:
    """Return the functions and classes that a module itself defines, without those that it imports."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in _code(module).body if isinstance(node, kinds) and not node.name.startswith("_")]


def room_list() -> str:
    """Return the rooms, each with a link to its page and the first sentence of its docstring."""
    lines = []
    for room in rooms():
        said = ast.get_docstring(_code(room)) or ""
        name = room.partition(".")[2]
        lines.append(f"- [`{name}`](rooms/{name}.md): {' '.join(said.partition(chr(10) * 2)[0].split())}")
    return "\n".join(lines)


def room_pages() -> dict[str, str]:
    """Return {name: Markdown} of a page for each room: what the room offers, and the docstrings of its modules."""
    pages = {}
    for room in rooms():
        name = room.partition(".")[2]
        parts = [f"# {name}"]
        if offered := _exported(room):
            homes = {item: module for module in _modules(room) for item in _own(module)}
            links = (
                f'<autoref optional identifier="{homes.get(item, room)}.{item}"><code>{item}</code></autoref>'
                for item in offered
            )
            parts.append(f"`{room}` offers {', '.join(links)}.")
        options = {"heading_level": 2, "show_root_heading": "false", "members": _own(room) or "false"}
        parts.append(
            "\n".join([f"::: {room}", "    options:", *(f"      {name}: {value}" for name, value in options.items())])
        )
        parts += [f"::: {module}" for module in _modules(room)[1:]]
        pages[name] = "\n\n".join(parts) + "\n"
    return pages


def citation() -> str:
    """Return CITATION.cff as two entries of BibTeX: the paper, and this software."""
    software = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = software["references"][0]

    def names(people: list[dict]) -> str:
        return " and ".join(
            f"{who['family-names']}, {who['given-names']}" if "family-names" in who else f"{{{who['name']}}}"
            for who in people
        )

    entries = {
        f"inproceedings{{{paper['authors'][0]['family-names'].lower()}{paper['year']}": {
            "author": names(paper["authors"]),
            "title": paper["title"],
            "booktitle": paper["collection-title"],
            "year": paper["year"],
            "pages": f"{paper['start']}--{paper['end']}",
            "doi": paper["doi"],
        },
        "software{srgan_jax": {
            "author": names(software["authors"]),
            "title": software["title"],
            "version": software["version"],
        },
    }
    lines = []
    for kind, fields in entries.items():
        lines += [f"@{kind},", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}", ""]
    return "\n".join(["```bibtex", *lines[:-1], "```"])


TABLES = {
    "fields": config_fields,
    "recipes": recipes,
    "commands": commands,
    "models": models,
    "rooms": room_list,
    "citation": citation,
}
