"""python -m srgan_jax.weights release RUN -o model.safetensors"""

import argparse

from srgan_jax.generators import load
from srgan_jax.scripts import report_input_errors
from srgan_jax.weights.release import write_release


def main():
    parser = argparse.ArgumentParser(prog="python -m srgan_jax.weights")
    commands = parser.add_subparsers(required=True)
    release = commands.add_parser("release", help="write the generator of a run or checkpoint as one safetensors file")
    release.add_argument("run", help="run directory (its best checkpoint is taken) or one checkpoint")
    release.add_argument("-o", "--out", required=True, help="file to write, ending in .safetensors")
    arguments = parser.parse_args()

    generator = load(arguments.run)
    write_release(arguments.out, generator.architecture, generator.variables, info=generator.info)
    print(f"{arguments.out}: {generator.name}")


if __name__ == "__main__":
    with report_input_errors():
        main()
