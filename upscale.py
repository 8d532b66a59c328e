"""Enlarge photos.

python upscale.py photo.jpg -o large.png --ckpt runs/srgan_vgg54
python upscale.py *.jpg holiday/ -o enlarged/ --ckpt model.safetensors
"""

import argparse
import sys

from srgan_jax.scripts import report_input_errors


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help="pictures, or folders of them")
    parser.add_argument("-o", "--out", required=True, help="a file (.png, .jpg, …) for one picture; otherwise a folder")
    parser.add_argument("--ckpt", required=True, help="run directory, one checkpoint, or .safetensors file")
    parser.add_argument("--tile", type=int, default=256, help="LR pixels computed at once; 0: the whole picture")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    from srgan_jax import photos  # imports JAX: only once the flags are known to be right

    failures = photos.upscale_files(arguments.inputs, arguments.out, ckpt=arguments.ckpt, tile=arguments.tile)
    for failure in failures:
        print(f"Error: {failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    with report_input_errors():
        main()
