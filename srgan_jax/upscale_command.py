"""The command `srgan-upscale`, which `upscale.py` is too: flags -> one call."""

import argparse
import os
import pathlib
import sys

from srgan_jax.scripts import add_process_flags, report_input_errors

DEFAULT = "srresnet-x4"

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
    better.add_argument("--blend-with", metavar="CKPT", help="mix in another checkpoint of the same architecture …")
    better.add_argument("--blend", type=float, metavar="SHARE", help="… by 0 (--ckpt alone) to 1 (--blend-with alone)")
    better.add_argument(
        "--tile", type=int, default=640, help="LR pixels computed at once; 0: whole pictures (default: %(default)s)"
    )
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


def cache_directory() -> pathlib.Path:
    """Where the platform keeps what can be made again."""
    home = pathlib.Path.home()
    if sys.platform == "win32":
        return pathlib.Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")


def run(flags) -> int:
    """Do what the flags say; returns the exit status."""
    from srgan_jax import photos, processes, video  # import JAX: only once the flags are known to be right

    processes.join(flags.coordinator, flags.processes, flags.process)
    if any(video.is_video(path) for path in flags.inputs):
        return run_video(flags)
    failures = photos.upscale_files(
        flags.inputs,
        flags.out,
        ckpt=flags.ckpt,
        blend_with=flags.blend_with,
        share=flags.blend,
        options=photos.Options(
            scale=flags.scale,
            tile=flags.tile,
            ensemble=flags.ensemble,
            format=flags.format,
            quality=flags.quality,
            keep_metadata=flags.keep_metadata,
            compare=flags.compare,
            resume=flags.resume,
        ),
    )
    for failure in failures if processes.is_first() else []:
        print(f"Error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def run_video(flags) -> int:
    """The same for a video."""
    from srgan_jax import photos, processes, video
    from srgan_jax.errors import InputError

    if not processes.is_first():  # frames are not divided
        return 0
    if len(flags.inputs) > 1:
        raise InputError(f"videos are enlarged one at a time, got {len(flags.inputs)} inputs.")
    unused = {"--format": flags.format, "--quality": flags.quality, "--compare": flags.compare}
    for name, value in unused.items():
        if value:
            raise InputError(f"{name} is for pictures, {flags.inputs[0]} is a video.")
    photos.check_options(photos.Options(scale=flags.scale, tile=flags.tile))
    if flags.resume and pathlib.Path(flags.out).exists():
        return 0
    video.upscale_video(
        flags.inputs[0],
        flags.out,
        photos.load(flags.ckpt, blend_with=flags.blend_with, share=flags.blend),
        scale=flags.scale,
        tile=flags.tile,
        ensemble=flags.ensemble,
        metadata=flags.keep_metadata,
    )
    return 0


def main():
    flags = parse_arguments()
    with report_input_errors():
        keep_compiled_programs()
        sys.exit(run(flags))


if __name__ == "__main__":
    main()
