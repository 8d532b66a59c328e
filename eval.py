"""Score a generator on whole pictures.

python eval.py --ckpt runs/srgan_vgg54 --data Set5=data/Set5 Set14=data/Set14 --out out/srgan_vgg54

Prints a Markdown table of PSNR and SSIM; writes OUT/results.json and the SR images, OUT/NAME/STEM.png.
"""

import argparse

from srgan_jax.scripts import report_input_errors


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--ckpt", required=True, help="run directory, one checkpoint, .safetensors file, or bicubic or nearest"
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
    parser.add_argument("--vgg", metavar="FILE", help="VGG19's weights: adds the VGG54 feature distance")
    parser.add_argument("--scale", type=int, default=4, help="of bicubic and nearest; a network has its own")
    parser.add_argument("--tile", type=int, default=256, help="LR pixels computed at once; 0: the whole picture")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    from srgan_jax import evaluation  # imports JAX: only once the flags are known to be right
    from srgan_jax.weights.vgg19 import load_vgg19

    protocols = arguments.protocol.split(",")
    evaluation.check_protocols(protocols)
    method = evaluation.create_method(arguments.ckpt, scale=arguments.scale, tile=arguments.tile)
    sets = evaluation.parse_sets(arguments.data, scale=method.scale)
    distance = evaluation.make_feature_distance(*load_vgg19(arguments.vgg, ("vgg54",))) if arguments.vgg else None
    results = evaluation.run(method, sets, arguments.out, protocols=protocols, distance=distance)
    print(evaluation.table(results))


if __name__ == "__main__":
    with report_input_errors():
        main()
