"""`python -m srgan_jax`: the commands that there are."""

import argparse
import importlib.metadata
from collections.abc import Sequence

from srgan_jax.commands.common import add_version

# What each command does, and how it is called without an installation.
COMMANDS = {
    "srgan-upscale": ("python -m srgan_jax.commands.upscale", "enlarge photos and videos"),
    "srgan-app": ("python -m srgan_jax.app", "enlarge photos on a page in the browser"),
    "srgan-eval": ("python -m srgan_jax.commands.evaluate", "score a model, or the pictures of another program"),
    "srgan-train": ("python -m srgan_jax.commands.train", "train SRResNet or SRGAN"),
    "srgan-weights": ("python -m srgan_jax.weights", "release, import, export and convert weights"),
    "srgan-demo": ("python -m srgan_jax.demo", "train both stages in small, and show what comes out"),
    "srgan-crops": ("python -m srgan_jax.data.crops", "pack pictures into crops that are read fast"),
    "srgan-plot": ("python -m srgan_jax.commands.plot", "draw the curves of training runs over each other"),
    "srgan-study": ("python -m srgan_jax.study", "ask people which pictures they find better"),
    "srgan-plane": ("python -m srgan_jax.commands.plane", "draw how true and how natural methods are"),
}


def text() -> str:
    """Return one line for each command, by the names that are installed."""
    installed = {script.name for script in importlib.metadata.entry_points(group="console_scripts")}
    names = {name if name in installed else module: what for name, (module, what) in COMMANDS.items()}
    width = max(map(len, names))
    return "\n".join(f"  {name:{width}}  {what}" for name, what in names.items())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m srgan_jax",
        description="SRGAN and SRResNet in JAX. The commands, each of which has --help:\n\n" + text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.parse_args(arguments)
    parser.print_help()


if __name__ == "__main__":
    main()
