"""Draw the perception-distortion plane: `python -m srgan_jax.commands.plane`.

python -m srgan_jax.commands.plane plane.svg out/bicubic SRResNet=out/srresnet SRGAN=out/srgan
python -m srgan_jax.commands.plane plane.svg out/bicubic --blend srresnet-x4 srgan-x4 --data Set5=data/Set5 \
    --out out/blends
"""

import argparse
from collections.abc import Sequence

from srgan_jax.commands.common import add_version, report_input_errors


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m srgan_jax.commands.plane",
        description="Draw methods by how true and how natural their pictures are.",
    )
    parser.add_argument("svg", metavar="OUT.svg", help="the drawing")
    parser.add_argument(
        "results", nargs="*", metavar="[NAME=]DIR", help="folders that srgan-eval has written, and names for the plane"
    )
    parser.add_argument("--set", metavar="NAME", help="whose means are drawn (default: the first)")
    parser.add_argument("--x", default="psnr", help="the metric of distortion (default: %(default)s)")
    parser.add_argument("--y", default="lpips_alex", help="the metric of perception (default: %(default)s)")
    parser.add_argument("--protocol", default="matlab", help="of PSNR and SSIM (default: %(default)s)")
    parser.add_argument("--no-published", action="store_true", help="leave out the methods of others")
    parser.add_argument("--blend", nargs=2, metavar=("A", "B"), help="also a curve of the generators between two")
    parser.add_argument("--data", nargs="+", metavar="NAME=DIR", help="the pictures for the curve, as for eval.py")
    parser.add_argument("--out", metavar="DIR", help="directory for the curve's results")
    add_version(parser)
    parsed = parser.parse_args(arguments)
    if not (parsed.results or parsed.blend):
        parser.error("name folders of results, or --blend")
    if len({parsed.blend is None, parsed.data is None, parsed.out is None}) > 1:
        parser.error("--blend, --data and --out need each other")
    return parsed


def run(flags: argparse.Namespace) -> None:
    """Do what the flags say."""
    from srgan_jax.evaluation.plane import draw_plane  # imports JAX: only once the flags are known to be right

    draw_plane(
        flags.svg,
        flags.results,
        dataset=flags.set,
        x=flags.x,
        y=flags.y,
        protocol=flags.protocol,
        published=not flags.no_published,
        blend_of=flags.blend,
        data=flags.data,
        out=flags.out,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    flags = parse_arguments(arguments)
    with report_input_errors():
        run(flags)


if __name__ == "__main__":
    main()
