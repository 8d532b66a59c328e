"""Picture files -> picture files, `scale` times as large."""

import pathlib

import jax
import tqdm
from PIL import Image

from srgan_jax import generators
from srgan_jax.data.sources import FolderSource, readable_extensions
from srgan_jax.errors import InputError
from srgan_jax.images import ImageError, decode_image, save_image
from srgan_jax.upscaling import make_upscaler


def upscale_files(inputs, out, *, ckpt, tile: int = 256) -> list[str]:
    """Enlarge pictures; a picture that cannot be read does not stop the others.

    Args:
      inputs: paths of pictures and of folders; folders are searched recursively and keep their structure.
      out: path of the result if `inputs` is one picture and `out` has an image format's extension; else a folder,
        whose files are PNGs.
      ckpt: what generators.load takes.
      tile: LR pixels, see upscaling.make_upscaler.

    Returns:
      A sentence for each picture that failed.

    Raises:
      InputError: no such input, two inputs with one result, or a result that would replace an input.
    """
    jobs = plan(inputs, pathlib.Path(out))
    generator = generators.load(ckpt)
    upscale, variables = make_upscaler(generator.module, tile=tile), jax.device_put(generator.variables)
    failures = []
    for source, target in tqdm.tqdm(jobs, unit="picture", disable=len(jobs) == 1):
        try:
            lr = decode_image(source, channels=None)
            sr = upscale(variables, lr)
            # A greyscale photo stays grey, also where the network sees it as RGB.
            sr = sr.mean(-1, keepdims=True).round().astype(sr.dtype) if lr.shape[-1] == 1 else sr
            target.parent.mkdir(parents=True, exist_ok=True)
            save_image(target, sr)
        except (ImageError, OSError) as error:
            failures.append(f"{error}")
    return failures


def plan(inputs, out: pathlib.Path) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """(input, output) of every picture, checked before anything is computed."""
    paths = [pathlib.Path(path) for path in inputs]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or directory.")
    one_file = len(paths) == 1 and paths[0].is_file()
    if one_file and out.suffix and not out.is_dir():
        if out.suffix.lower() not in writable_extensions():
            raise InputError(f"{out}: no image format has this extension; try {out.with_suffix('.png').name}.")
        jobs = [(paths[0], out)]
    else:
        if out.is_file() or (out.suffix.lower() in readable_extensions() and not out.is_dir()):
            raise InputError(f"{out}: several pictures need a folder as -o, this is a file's name.")
        jobs = []
        for path in paths:
            names = FolderSource(path).names if path.is_dir() else [path.name]
            root = path if path.is_dir() else path.parent
            jobs += [(root / name, (out / name).with_suffix(".png")) for name in names]
    results = {}
    for source, target in jobs:
        if target in results:
            raise InputError(f"{results[target]} and {source} would both be written to {target}; rename one.")
        results[target] = source
    sources = {source.resolve() for source, _ in jobs}
    for target in results:
        if target.resolve() in sources:
            raise InputError(f"{target} is an input and would be overwritten; choose another -o.")
    return jobs


def writable_extensions() -> set[str]:
    """Extensions of the formats that Pillow writes."""
    return {extension for extension, name in Image.registered_extensions().items() if name in Image.SAVE}
