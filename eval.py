"""Score a generator on whole pictures.

python eval.py --ckpt runs/srgan_vgg54 --data Set5=data/Set5 Set14=data/Set14 --out out/srgan_vgg54

Prints a Markdown table of PSNR and SSIM; writes OUT/results.json and the SR images, OUT/NAME/STEM.png.
"""

import argparse

from srgan_jax.scripts import add_process_flags, report_input_errors


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--ckpt",
        required=True,
        help="shipped model, run directory, one checkpoint, .safetensors file, or bicubic or nearest",
    )
    parser.add_argument(
        "--data",
        required=True,
        nargs="+",
        metavar="NAME=DIR",
        help="DIR holds HR/ and perhaps LRx4/, or just pictures, whose LR images are then made",
    )
    parser.add_argument("--out", required=True, help="directory for results.json and the SR images")
    parser.add_argument("--protocol", default="paper,matlab", help="comma-separated: paper, matlab, rgb")
    parser.add_argument("--vs", metavar="OTHER", help="another --ckpt to compare with, picture by picture; see OUT/vs")
    parser.add_argument("--report", metavar="DIR", help="write DIR/index.html: the table, and crops side by side")
    parser.add_argument("--vgg", metavar="FILE", help="VGG19's weights: adds the VGG54 feature distance")
    parser.add_argument("--scale", type=int, default=4, help="of bicubic and nearest; a network has its own")
    parser.add_argument("--tile", type=int, default=640, help="LR pixels computed at once; 0: the whole picture")
    add_process_flags(parser)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    from srgan_jax import evaluation, processes  # import JAX: only once the flags are known to be right

    processes.join(arguments.coordinator, arguments.processes, arguments.process)
    evaluation.evaluate_and_report(
        arguments.ckpt,
        arguments.data,
        arguments.out,
        protocols=arguments.protocol.split(","),
        vs=arguments.vs,
        report=arguments.report,
        vgg=arguments.vgg,
        scale=arguments.scale,
        tile=arguments.tile,
    )


if __name__ == "__main__":
    with report_input_errors():
        main()
