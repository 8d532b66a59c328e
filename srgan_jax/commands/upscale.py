"""The command `srgan-upscale`, which `upscale.py` is too: flags -> one call."""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from srgan_jax.commands.common import add_common_flags, add_process_flags, report_input_errors
from srgan_jax.errors import InputError
from srgan_jax.files import cache_directory
from srgan_jax.progress import be_quiet, say
from srgan_jax.upscaling import options as limits

if TYPE_CHECKING:
    from srgan_jax.generators import Generator

# What --style chooses from: the shipped models by what one wants of them.
STYLES = {"sharp": "srgan-x4", "faithful": "srresnet-x4", "fast": "fast-x4"}
STYLE = "sharp"  # where neither --style nor --ckpt is given
REFERENCE = STYLES["faithful"]

FLAGS = {"share": "blend"}  # the flags of the library's options, where their names differ

EXAMPLES = """examples:
  srgan-upscale photo.jpg
  srgan-upscale photo.jpg -o large.png --style faithful
  srgan-upscale "*.jpg" holiday/ -o enlarged/ --ckpt model.safetensors --format jpg --resume
  srgan-upscale photo.jpg -o twice.png --scale 2 --ensemble
  srgan-upscale photo.jpg -o both.png --ckpt runs/srresnet --blend-with runs/srgan --blend 0.7
  srgan-upscale scan.png -o large.png --ckpt runs/srgan --max-invention 8 --map invented.png
  srgan-upscale clip.mp4 -o large.mp4 --fast"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Enlarge photos and videos.", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help="pictures, folders or patterns of them; or a video")
    parser.add_argument(
        "-o", "--out", help="a file (.png, .jpg, …) for one picture, or a folder (default: beside IN, as NAME_x4.png)"
    )
    model = parser.add_mutually_exclusive_group()
    choices = "; ".join(f"{style}: {name}" for style, name in STYLES.items())
    model.add_argument(
        "--style",
        choices=STYLES,
        help="what the result is to be, sharp (with plausible detail), faithful (no more than can be known) or fast: "
        f"one of the shipped models ({choices}; default: {STYLE})",
    )
    model.add_argument(
        "--fast", dest="style", action="store_const", const="fast", help="the same as --style fast; good for videos"
    )
    model.add_argument(
        "--ckpt", help="or any model: a shipped one, a run directory, one checkpoint, or a .safetensors file"
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
    better.add_argument(
        "--max-invention",
        type=float,
        metavar="LEVELS",
        help="let no pixel leave the picture of --reference by more than so many of 255 levels in any channel",
    )
    better.add_argument(
        "--reference",
        metavar="CKPT",
        default=REFERENCE,
        help="the model of least error that --max-invention and --map compare with (default: %(default)s)",
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
        "--suffix", metavar="TEXT", help="put behind the names of results (default: _x4 where there is no -o)"
    )
    written.add_argument(
        "--strip-metadata",
        dest="keep_metadata",
        action="store_false",
        help="write no EXIF and XMP (camera, place, author …); colour profiles always are kept",
    )
    # What once had to be asked for is the default now.
    written.add_argument("--keep-metadata", dest="keep_metadata", action="store_true", help=argparse.SUPPRESS)
    written.add_argument(
        "--compare", action="store_true", help="also write NAME_compare.png: bicubic beside the result"
    )
    written.add_argument(
        "--map",
        metavar="FILE",
        help="also write how far the result leaves the picture of --reference: a heat map (PNG), or a folder of them",
    )
    written.add_argument("--resume", action="store_true", help="leave out pictures whose result is there")
    parser.set_defaults(keep_metadata=True)
    add_common_flags(parser)
    add_process_flags(parser)
    parsed = parser.parse_args(arguments)
    be_quiet(parsed.quiet)
    parsed.ckpt = parsed.ckpt or STYLES[parsed.style or STYLE]
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


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say; returns the exit status."""
    from srgan_jax.parallel import processes  # imports JAX: only once the flags are known to be right
    from srgan_jax.photos import video

    processes.join(flags.coordinator, flags.processes, flags.process)
    with named_flags():
        return (run_video if any(map(video.is_video, flags.inputs)) else run_photos)(flags)


@contextlib.contextmanager
def named_flags() -> Iterator[None]:
    """Name the flag where the library names the option."""
    try:
        yield
    except limits.OptionError as error:
        flag = FLAGS.get(error.option, error.option.replace("_", "-"))
        raise InputError(f"--{flag}: {error.problem}") from None


def check_flags(flags: argparse.Namespace) -> None:
    """Raise an InputError for a value that its flag cannot have, without importing JAX."""
    with named_flags():
        for name in ("scale", "tile", "quality", "suffix", "max_invention"):
            if (value := getattr(flags, name)) is not None:
                getattr(limits, f"check_{name}")(value)
        if flags.blend is not None:
            limits.check_share(flags.blend)


def given(flags: argparse.Namespace, names: Iterable[str]) -> dict:
    """Return the flags of these names that have been given; the library knows the defaults of the others."""
    return {name: getattr(flags, name) for name in names if getattr(flags, name) is not None}


def load(flags: argparse.Namespace) -> "Generator":
    """Return the generator of the flags, or what lies between two."""
    from srgan_jax import generators
    from srgan_jax.parallel import processes
    from srgan_jax.upscaling import blend

    generator = generators.load(flags.ckpt).at_scale(flags.scale)
    if "license" in generator.info and processes.is_first():
        say(f"The weights of {generator.name} are {generator.info['license']}.")
    other = generators.load(flags.blend_with).at_scale(flags.scale) if flags.blend_with else None
    for loaded in filter(None, (generator, other)):
        if loaded.invents and processes.is_first():
            say(f"{loaded.name} {generators.INVENTS}; --style faithful leaves it out.")
    return blend(generator, other, flags.blend) if other else generator


def run_photos(flags: argparse.Namespace) -> int:
    """Enlarge photos; returns the exit status."""
    from srgan_jax import generators
    from srgan_jax.parallel import processes
    from srgan_jax.photos import batch

    options = batch.Options(**given(flags, (field.name for field in dataclasses.fields(batch.Options))))
    failures = batch.upscale_files(
        flags.inputs, flags.out, lambda: load(flags), options, load_reference=lambda: generators.load(flags.reference)
    )
    for failure in failures if processes.is_first() else []:
        print(f"Error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def run_video(flags: argparse.Namespace) -> int:
    """Enlarge a video; returns the exit status."""
    from srgan_jax import generators
    from srgan_jax.parallel import processes
    from srgan_jax.photos import batch, video

    if not processes.is_first():  # frames are not divided
        return 0
    if len(flags.inputs) > 1:
        raise InputError(f"videos are enlarged one at a time, got {len(flags.inputs)} inputs.")
    for name in ("format", "quality", "compare", "map"):
        if getattr(flags, name):
            raise InputError(f"--{name} is for pictures, {flags.inputs[0]} is a video.")
    source, out = pathlib.Path(flags.inputs[0]), flags.out
    if out and flags.resume and pathlib.Path(out).exists():
        return 0
    generator = load(flags)
    if not out:
        scale = generator.module.scale if flags.scale is None else flags.scale
        suffix = f"_x{scale:g}" if flags.suffix is None else flags.suffix
        container = source.suffix if source.suffix.lower() in video.ENCODERS else ".mp4"
        out = source.with_name(f"{source.stem}{suffix}{container}")
        if flags.resume and out.exists():
            return 0
    options = given(flags, ("scale", "tile", "ensemble", "consistent", "max_invention"))
    batch.check_options(batch.Options(**options))
    reference = None if flags.max_invention is None else generators.load(flags.reference)
    video.upscale_video(source, out, generator, metadata=flags.keep_metadata, reference=reference, **options)
    return 0


def main() -> None:
    flags = parse_arguments()
    with report_input_errors():
        check_flags(flags)
        keep_compiled_programs()
        sys.exit(run(flags))


if __name__ == "__main__":
    main()
