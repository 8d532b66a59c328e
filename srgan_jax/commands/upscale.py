"""The command `srgan-upscale`, which `upscale.py` is too: flags -> one call."""

import argparse
import dataclasses
import os
import pathlib
import sys

from srgan_jax.commands.common import add_process_flags, report_input_errors
from srgan_jax.errors import InputError
from srgan_jax.files import cache_directory

DEFAULT = "srresnet-x4"

FLAGS = {"share": "blend"}  # the flags of the library's options, where their names differ

EXAMPLES = """examples:
  srgan-upscale photo.jpg -o large.png
  srgan-upscale "*.jpg" holiday/ -o enlarged/ --ckpt model.safetensors --format jpg --keep-metadata --resume
  srgan-upscale photo.jpg -o twice.png --scale 2 --ensemble
  srgan-upscale photo.jpg -o both.png --ckpt runs/srresnet --blend-with runs/srgan --blend 0.7
  srgan-upscale clip.mp4 -o large.mp4 --ckpt runs/srgan"""


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description="Enlarge photos and videos.", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help="pictures, folders or patterns of them; or a video")
    parser.add_argument("-o", "--out", required=True, help="a file (.png, .jpg, …) for one picture; otherwise a folder")
    parser.add_argument(
        "--ckpt",
        default=DEFAULT,
        help="shipped model, run directory, one checkpoint, or .safetensors file (default: %(default)s)",
    )
    better = parser.add_argument_group("what is computed")
    better.add_argument(
        "--scale", type=float, help="of the result, resized from the network's (default: the network's)"
    )
    better.add_argument("--ensemble", action="store_true", help="average over eight flips and turns; 8 times as slow")
    better.add_argument(
        "--consistent",
        action=argparse.BooleanOptionalAction,
        help="make a result that bicubic reduction turns into the picture again (default: as the model was made for)",
    )
    better.add_argument("--blend-with", metavar="CKPT", help="mix in another checkpoint of the same architecture …")
    better.add_argument("--blend", type=float, metavar="SHARE", help="… by 0 (--ckpt alone) to 1 (--blend-with alone)")
    better.add_argument("--tile", type=int, help="LR pixels computed at once in each direction; 0: whole pictures")
    written = parser.add_argument_group("what is written")
    written.add_argument("--format", help="png, jpg, webp, tiff or bmp (default: by the name of OUT, png in folders)")
    written.add_argument(
        "--quality", type=int, help="of jpg and webp, 1 to 100 (default: 95; webp with 100 is lossless)"
    )
    written.add_argument(
        "--keep-metadata", action="store_true", help="EXIF and XMP too; colour profiles always are kept"
    )
    written.add_argument(
        "--compare", action="store_true", help="also write NAME_compare.png: bicubic beside the result"
    )
    written.add_argument("--resume", action="store_true", help="leave out pictures whose result is there")
    add_process_flags(parser)
    parsed = parser.parse_args(arguments)
    if (parsed.blend is None) != (parsed.blend_with is None):
        parser.error("--blend and --blend-with need each other")
    return parsed


def keep_compiled_programs() -> None:
    """Let JAX keep compiled networks in the user's cache directory, unless JAX_COMPILATION_CACHE_DIR names another."""
    # For each program that it finds again, XLA would otherwise log a false alarm about the CPU's features.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "srgan_jax" / "xla"))


def run(flags) -> int:
    """Do what the flags say; returns the exit status."""
    from srgan_jax.parallel import processes  # imports JAX: only once the flags are known to be right
    from srgan_jax.photos import video
    from srgan_jax.upscaling.options import OptionError

    processes.join(flags.coordinator, flags.processes, flags.process)
    try:
        return (run_video if any(map(video.is_video, flags.inputs)) else run_photos)(flags)
    except OptionError as error:
        raise InputError(f"--{FLAGS.get(error.option, error.option)}: {error.problem}") from None


def given(flags, names) -> dict:
    """The flags of these names that have been given; the library knows the defaults of the others."""
    return {name: getattr(flags, name) for name in names if getattr(flags, name) is not None}


def load(flags):
    """The generator of the flags, or what lies between two."""
    from srgan_jax import generators
    from srgan_jax.upscaling import blend

    generator = generators.load(flags.ckpt)
    if flags.blend_with is None:
        return generator
    return blend(generator, generators.load(flags.blend_with), flags.blend)


def run_photos(flags) -> int:
    """Enlarge photos; returns the exit status."""
    from srgan_jax.parallel import processes
    from srgan_jax.photos import batch

    options = batch.Options(**given(flags, (field.name for field in dataclasses.fields(batch.Options))))
    failures = batch.upscale_files(flags.inputs, flags.out, lambda: load(flags), options)
    for failure in failures if processes.is_first() else []:
        print(f"Error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def run_video(flags) -> int:
    """Enlarge a video; returns the exit status."""
    from srgan_jax.parallel import processes
    from srgan_jax.photos import batch, video

    if not processes.is_first():  # frames are not divided
        return 0
    if len(flags.inputs) > 1:
        raise InputError(f"videos are enlarged one at a time, got {len(flags.inputs)} inputs.")
    for name in ("format", "quality", "compare"):
        if getattr(flags, name):
            raise InputError(f"--{name} is for pictures, {flags.inputs[0]} is a video.")
    if flags.resume and pathlib.Path(flags.out).exists():
        return 0
    options = given(flags, ("scale", "tile", "ensemble", "consistent"))
    batch.check_options(batch.Options(**options))
    video.upscale_video(flags.inputs[0], flags.out, load(flags), metadata=flags.keep_metadata, **options)
    return 0


def main():
    flags = parse_arguments()
    with report_input_errors():
        keep_compiled_programs()
        sys.exit(run(flags))


if __name__ == "__main__":
    main()
