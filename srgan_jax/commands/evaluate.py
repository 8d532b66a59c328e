"""The command `srgan-eval`, which `eval.py` is too: score a generator, or pictures that another program has made."""

import argparse
from collections.abc import Sequence

from srgan_jax.commands.common import add_common_flags, add_process_flags, report_input_errors
from srgan_jax.progress import be_quiet

EXAMPLES = """examples:
  srgan-eval --ckpt runs/srgan --data Set5=data/Set5 Set14=data/Set14 --out out/srgan
  srgan-eval --ckpt runs/srgan --data Set5=data/Set5 --out out/srgan --vs srresnet-x4 --report out/page
  srgan-eval --sr results_of_others --data Set5=data/Set5 --out out/others --metrics psnr,lpips_alex,niqe"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Score a generator, or the pictures that another program has made, on whole pictures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    scored = parser.add_mutually_exclusive_group(required=True)
    scored.add_argument(
        "--ckpt", help="shipped model, run directory, one checkpoint, .safetensors file, or bicubic or nearest"
    )
    scored.add_argument("--sr", metavar="DIR", help="or pictures of any program, DIR/NAME/STEM.png or DIR/STEM.png")
    parser.add_argument(
        "--data",
        required=True,
        nargs="+",
        metavar="NAME=DIR",
        help="DIR holds HR/ and perhaps LRx4/, or just pictures, whose LR images are then made",
    )
    parser.add_argument("--out", required=True, help="directory for results.json and the SR images")
    parser.add_argument(
        "--metrics", help="comma-separated, see docs/evaluation.md (default: those whose weights are found)"
    )
    parser.add_argument(
        "--protocol",
        default="paper,matlab",
        help="of PSNR and SSIM, comma-separated: paper, matlab, rgb (default: %(default)s)",
    )
    parser.add_argument("--vgg", metavar="FILE", help="VGG19's weights: adds the metric vgg54")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--vs", metavar="OTHER", help="another --ckpt to compare with, picture by picture; see OUT/vs")
    other.add_argument("--vs-sr", metavar="DIR", help="or another program's pictures to compare with")
    parser.add_argument("--report", metavar="DIR", help="write DIR/index.html: the table, and crops side by side")
    parser.add_argument(
        "--consistent",
        action=argparse.BooleanOptionalAction,
        help="change SR so that bicubic reduction turns it into LR again (default: as the model was made for)",
    )
    parser.add_argument("--scale", type=int, help="of bicubic, nearest and --sr (default: 4); a network has its own")
    parser.add_argument("--tile", type=int, help="LR pixels computed at once in each direction; 0: whole pictures")
    add_process_flags(parser)
    add_common_flags(parser)
    parsed = parser.parse_args(arguments)
    be_quiet(parsed.quiet)
    if parsed.scale is not None and parsed.scale < 1:
        parser.error(f"argument --scale: expected a whole number of at least 1, got {parsed.scale}")
    return parsed


def run(flags: argparse.Namespace) -> None:
    """Do what the flags say."""
    from srgan_jax import evaluation  # imports JAX: only once the flags are known to be right
    from srgan_jax.parallel import processes

    processes.join(flags.coordinator, flags.processes, flags.process)
    metrics = flags.metrics and [*flags.metrics.split(","), *(["vgg54"] if flags.vgg else [])]
    evaluation.evaluate_and_report(
        flags.ckpt,
        flags.data,
        flags.out,
        protocols=flags.protocol.split(","),
        metrics=metrics,
        weights={"vgg19": flags.vgg} if flags.vgg else {},
        sr=flags.sr,
        vs=flags.vs,
        vs_sr=flags.vs_sr,
        report=flags.report,
        consistent=flags.consistent,
        scale=flags.scale,
        tile=flags.tile,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    flags = parse_arguments(arguments)
    with report_input_errors():
        run(flags)


if __name__ == "__main__":
    main()
