"""The command `srgan-app`, which `python -m srgan_jax.app` is too: the page in the browser."""

import argparse
import sys
from collections.abc import Sequence

from srgan_jax.commands.common import add_version, report_input_errors
from srgan_jax.commands.upscale import STYLE, STYLES


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="srgan-app", description="Enlarge photos on a page in the browser.")
    add_version(parser)
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="what the page offers: shipped models, run directories, checkpoints, .safetensors files or hf://USER/NAME "
        "(default: the shipped models)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 is for everybody (default: %(default)s)"
    )
    parser.add_argument("--port", type=_port, help="(default: the first free one from 7860 on)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")
    limits = parser.add_argument_group("what the page takes at most")
    limits.add_argument("--max-megapixels", type=_positive, default=16, metavar="N", help="(default: %(default)s)")
    limits.add_argument(
        "--max-pictures", type=int, default=200, metavar="N", help="in an archive (default: %(default)s)"
    )
    limits.add_argument(
        "--max-megabytes", type=int, default=1000, metavar="N", help="of a file, or unpacked (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is no port, a number from 1 to 65535.")
    return int(text)


def _positive(text: str) -> float:
    if not 0 < (value := float(text)) < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no number above 0.")
    return value


def run(flags: argparse.Namespace) -> None:
    """Do what the flags say."""
    from srgan_jax.app.archives import Limits  # imports JAX: only once the flags are known to be right
    from srgan_jax.app.server import LOOPBACK, serve
    from srgan_jax.generators import shipped_names

    # What srgan-upscale takes by default comes first.
    models = flags.models or sorted(shipped_names(), key=lambda name: (name != STYLES[STYLE], name))
    if flags.host not in LOOPBACK:
        print(f"Warning: every computer that reaches this one at {flags.host} can use the page.", file=sys.stderr)
    limits = Limits(flags.max_megapixels, flags.max_pictures, flags.max_megabytes)
    serve(models, limits=limits, host=flags.host, port=flags.port, browser=not flags.no_browser)


def main(arguments: Sequence[str] | None = None) -> None:
    flags = parse_arguments(arguments)
    with report_input_errors():
        from srgan_jax.commands.upscale import keep_compiled_programs

        keep_compiled_programs()
        run(flags)


if __name__ == "__main__":
    main()
