"""`srgan-train`, which `train.py` is too: train SRResNet or SRGAN.

python train.py --config configs/srresnet_mse.py --workdir runs/srresnet_mse --config.data.source=folder \
    --config.data.path=PHOTOS --config.num_steps=100000

Any field of configs/base.py can be overridden as --config.FIELD=VALUE. The same command goes on from the newest
checkpoint in the work directory.
"""

import functools
import inspect
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence

import srgan_jax
from srgan_jax import trees
from srgan_jax.commands.common import quiet_absl, report_input_errors
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.progress import be_quiet

with report_input_errors():  # names the extra that is missing
    import ml_collections
    from absl import app, flags
    from ml_collections import config_flags

    from srgan_jax.configs import base

CONFIG = config_flags.DEFINE_config_file("config", None, "The recipe: a file with get_config(), or the name of one.")
WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run: checkpoints, logs, samples.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where no launcher tells it.")
PROCESSES = flags.DEFINE_integer("processes", None, "How many processes there are, where no launcher tells it.")
PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0.")
QUIET = flags.DEFINE_boolean("quiet", False, "Show no progress, and print only errors and warnings.")


def field_names(config: ml_collections.ConfigDict, prefix: str = "") -> Iterator[str]:
    """Yield every field of a config with its path: "batch_size", "data.path", …"""
    for name, value in config.items():
        yield prefix + name
        if isinstance(value, ml_collections.ConfigDict):
            yield from field_names(value, f"{prefix}{name}.")


def check_field_names(argv: Sequence[str]) -> None:
    """Raise an InputError for the first unknown field; the nearest one may be in another part of the config."""
    known = list(field_names(base.get_config()))
    for word in argv:
        name = word.partition("=")[0].removeprefix("--config.")
        if word.startswith("--config.") and name not in known:
            raise InputError(f"--config.{name}: no such field; {nearest_name(name, known)}")


def recipes() -> dict[str, pathlib.Path]:
    """Return the configs that come with the package, by name."""
    folder = pathlib.Path(base.__file__).parent
    return {path.stem: path for path in sorted(folder.glob("*.py")) if path.stem not in ("__init__", "base")}


def with_config_file(argv: Sequence[str]) -> list[str]:
    """Return the arguments, in which a config of the repository, or its name alone, is the package's file.

    Raises:
      InputError: there is no such config.
    """
    argv = list(argv)
    for i, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag not in ("--config", "-config"):
            continue
        place = i if equals else i + 1
        value = value if equals else argv[place] if place < len(argv) else ""
        path, colon, argument = value.partition(":")
        if not value or pathlib.Path(path).is_file():
            continue
        known = recipes()
        if pathlib.Path(path).stem not in known:
            raise InputError(f"--config: there is no file {path}, and the recipes are {', '.join(known)}.")
        found = f"{known[pathlib.Path(path).stem]}{colon}{argument}"
        argv[place] = f"{flag}={found}" if equals else found
    return argv


def help_text() -> str:
    """Return what `--help` prints: how to call the command, the recipes, and every field with its default."""
    lines = [__doc__.strip(), "", "flags:"]
    lines += [
        f"  --{flag.name}  {flag.help}"
        for flag in map(flags.FLAGS.__getitem__, ("config", "workdir", "quiet", "coordinator", "processes", "process"))
    ]
    lines += ["  --version  Print the version and end.", "", f"recipes: {', '.join(recipes())}", "", "fields:"]
    return "\n".join([*lines, *field_lines()])


def field_lines() -> Iterator[str]:
    """Yield a line for each field of the config: its default, and the comment behind it in configs/base.py."""
    config = base.get_config()
    source = inspect.getsource(base)
    comments = dict(re.findall(r"^    (?:config|fields)\.(\S+) = .*?  # (.*)$", source, re.MULTILINE))
    before = ""
    for line in inspect.getsource(base.get_config).splitlines():
        if heading := re.match(r"    # (.*)", line):
            yield f"  {heading[1]}" if before.startswith("    #") else f"\n  {heading[1]}"
        elif (field := re.match(r"    config\.(\S+) = (.*)", line)) and not field[2].startswith("ml_collections."):
            value = functools.reduce(getattr, field[1].split("."), config)
            leaves = {field[1]: value}
            if isinstance(value, ml_collections.ConfigDict):
                leaves = {f"{field[1]}.{name}": leaf for name, leaf in trees.flat(value.to_dict(), ".").items()}
            for name, leaf in leaves.items():
                comment = comments.get(name, comments.get(name.rpartition(".")[2], ""))
                yield f"  --config.{name}={json.dumps(leaf)}  {comment}".rstrip()
        before = line


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parse the flags as absl does, but report every error like other bad input."""
    argv = with_config_file(argv)
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is None:
            raise InputError(f"--config is missing; give one of the recipes ({', '.join(recipes())}) or a file.")
        if WORKDIR.value is None:
            raise InputError("--workdir is missing; give a directory for what the run writes, such as runs/srgan.")
        CONFIG.value.lock()  # the first use raises what went wrong in the config's file
        return rest
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        check_field_names(argv)
        while error.args and isinstance(error.args[0], Exception):
            error = error.args[0]  # ml_collections wraps the one that says what is wrong
        text = str(error.args[0] if error.args else error)
        if "Traceback" in text:  # of the config's own error, whose sentence comes last
            text = text.strip().splitlines()[-1].partition(": ")[2]
        raise InputError(" ".join(text.split())) from None


def run(argv: Sequence[str]) -> None:
    """Do what the flags say."""
    # These import JAX: only once the flags are known to be right.
    from srgan_jax import cpu
    from srgan_jax.parallel import processes
    from srgan_jax.training import loop

    be_quiet(QUIET.value)
    cpu.keep_freed_memory()
    quiet_absl()  # absl's own start has set it back
    if len(argv) > 1:
        raise InputError(f"unexpected argument {argv[1]!r}; flags look like --config.batch_size=32.")
    processes.join(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    loop.train(CONFIG.value, WORKDIR.value)


def main() -> None:
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text())
        return
    if "--version" in sys.argv[1:]:
        print(f"srgan_jax {srgan_jax.__version__}")
        return
    with report_input_errors():
        app.run(run, flags_parser=parse_flags)


if __name__ == "__main__":
    main()
