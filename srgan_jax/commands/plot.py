"""The command `srgan-plot`, which `python -m srgan_jax.commands.plot` is too: curves of training runs.

srgan-plot curves.svg runs/srgan
srgan-plot curves.svg MSE=runs/a VGG54=runs/b --metrics "g/loss,d/*,*/psnr_y" --smooth 0.9
srgan-plot report.html runs/a runs/b
"""

import argparse
from collections.abc import Sequence

from srgan_jax.commands.common import add_version, report_input_errors


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="srgan-plot",
        description="Draw the curves of training runs over each other.",
        epilog="\n".join(["examples:", *(f"  {line}" for line in __doc__.strip().splitlines()[2:])]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument("out", metavar="OUT", help=".svg: the drawing; .html: a page with samples and configs too")
    parser.add_argument("runs", nargs="+", metavar="[NAME=]RUN", help="directories of runs, or their metrics.jsonl")
    parser.add_argument("--metrics", default="*", help="names or patterns, with commas between (default: %(default)s)")
    parser.add_argument(
        "--smooth", type=float, default=0.0, metavar="W", help="weight of what came before, 0 to 1 (default: 0)"
    )
    return parser.parse_args(arguments)


def run(flags: argparse.Namespace) -> None:
    """Do what the flags say."""
    from srgan_jax.training.curves import draw_runs

    draw_runs(flags.out, flags.runs, metrics=filter(None, flags.metrics.split(",")), smooth=flags.smooth)
    print(flags.out)


def main(arguments: Sequence[str] | None = None) -> None:
    flags = parse_arguments(arguments)
    with report_input_errors():
        run(flags)


if __name__ == "__main__":
    main()
