"""Whole pictures -> a table of PSNR and SSIM, under protocols that say what they are."""

import dataclasses
import functools
import importlib.metadata
import json
import math
import operator
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import srgan_jax
from srgan_jax import generators, processes
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.evaluation.sets import EvaluationSet
from srgan_jax.files import replace_text
from srgan_jax.images import ImageError, hr_to_signed, save_image
from srgan_jax.losses import mse
from srgan_jax.metrics import PROTOCOLS
from srgan_jax.models import VGG19
from srgan_jax.resize import imresize, nearest
from srgan_jax.upscaling import TILE, Upscaler

# Enlargements that need no network.
INTERPOLATIONS = {
    "nearest": lambda scale: lambda lr: nearest(lr, scale),
    "bicubic": lambda scale: lambda lr: imresize(lr, scale),
}


def make_feature_distance(vgg_params, preprocessing: str, *, layer: str = "vgg54"):
    """distance(sr, hr), uint8 RGB -> the content loss (eq. 5) between them: what SRGAN is trained to make small."""
    vgg = VGG19(layers=(layer,), preprocessing=preprocessing)

    @jax.jit
    def run(params, sr, hr):
        with jax.default_matmul_precision("highest"):
            sr, hr = (vgg.apply({"params": params}, hr_to_signed(image)[None])[layer] for image in (sr, hr))
            return mse(sr, hr)

    def distance(sr, hr):
        sr, hr = (np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x for x in (sr, hr))
        return float(run(vgg_params, jnp.asarray(sr), jnp.asarray(hr)))

    return distance


def evaluate(upscale, pairs: EvaluationSet, *, protocols=("matlab",), distance=None, on_image=None) -> dict:
    """Score every picture of a set; several processes divide them.

    Args:
      upscale: uint8 LR [H, W, C] -> uint8 SR.
      protocols: names out of metrics.PROTOCOLS.
      distance: distance(sr, hr) -> float, reported as "vgg54".
      on_image: called with (stem, lr, sr, hr) of each that this process scores.

    Returns:
      {"count", "cropped", "images": {stem: {protocol: {"psnr", "ssim"}, "vgg54"}}, "mean": {protocol: …, "vgg54"}}.
      "cropped" counts the pictures that were no multiple of the scale. PSNR of identical pictures is infinite.
    """
    images, cropped = {}, 0
    for i in processes.share(range(len(pairs.stems))):
        stem = pairs.stems[i]
        try:
            lr, hr, was_cropped = pairs.pair(i)
        except ImageError as error:
            raise InputError(f"{pairs.name}: {error}") from None
        cropped += was_cropped
        sr = upscale(lr)
        planes = [x[..., 0] if x.shape[-1] == 1 else x for x in (sr, hr)]
        try:
            images[stem] = {name: PROTOCOLS[name].score(*planes, scale=pairs.scale) for name in protocols}
        except ValueError as error:
            raise InputError(f"{pairs.name}/{stem}: {error}") from None
        if distance:
            images[stem]["vgg54"] = distance(sr, hr)
        if on_image:
            on_image(stem, lr, sr, hr)
    found, cropped = zip(*processes.gather((images, cropped)), strict=True)
    found, cropped = functools.reduce(operator.or_, found), sum(cropped)
    images = {stem: found[stem] for stem in pairs.stems}
    return {"count": len(images), "cropped": cropped, "images": images, "mean": _mean(list(images.values()))}


def _mean(scores: list):
    """Mean over images of nested dicts of numbers, key by key."""
    if isinstance(scores[0], dict):
        return {key: _mean([score[key] for score in scores]) for key in scores[0]}
    return float(np.mean(scores))


def _infinity_as_null(tree):
    """JSON has no infinity: null stands for the PSNR of identical pictures."""
    if isinstance(tree, dict):
        return {key: _infinity_as_null(value) for key, value in tree.items()}
    return None if isinstance(tree, float) and math.isinf(tree) else tree


@dataclasses.dataclass(frozen=True)
class Method:
    """Something that enlarges: upscale(lr) -> sr by `scale`, and `about`, what results.json says of it."""

    upscale: Callable
    scale: int
    about: dict


def create_method(name: str, *, scale: int = 4, tile: int = TILE) -> Method:
    """The method that `name` stands for: "nearest", "bicubic", or what generators.load takes.

    Args:
      scale: of an interpolation; a network has its own.
      tile: LR pixels, see upscaling.Upscaler.
    """
    if name in INTERPOLATIONS:
        return Method(INTERPOLATIONS[name](scale), scale, {"name": name, "precision": "float64, 8-bit after each pass"})
    generator = generators.load(name)
    about = {"name": generator.name, "sha256": generator.sha256(), "architecture": generator.architecture}
    about |= {"step": generator.info.get("step"), "precision": "float32, matmul precision highest"}
    return Method(Upscaler(generator.module, generator.variables, tile=tile), generator.module.scale, about)


def check_protocols(names) -> None:
    """Raise an InputError for the first name that is no protocol."""
    for name in names:
        if name not in PROTOCOLS:
            raise InputError(f"--protocol: no {name!r}; {nearest_name(name, PROTOCOLS)}")


def outputs(sets: list[EvaluationSet], out) -> list[tuple[pathlib.Path, str]]:
    """What `run` writes to `out`, and from what, as files.check_outputs takes it."""
    out = pathlib.Path(out)
    pictures = [(out / pairs.name / f"{stem}.png", f"{pairs.name}/{stem}") for pairs in sets for stem in pairs.stems]
    return [(out / "results.json", "the scores"), *pictures]


def run(method: Method, sets, out, *, protocols, distance=None, on_image=None) -> dict:
    """Evaluate a method on several sets; writes OUT/results.json and the SR images, OUT/NAME/STEM.png.

    Args:
      on_image: called with (set's name, stem, lr, sr, hr) of each picture.

    Returns:
      What results.json holds: "datasets" as `evaluate` returns them, beside all that it takes to make them again.
    """
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    datasets = {}
    for pairs in sets:

        def save(stem, lr, sr, hr, pairs=pairs):
            path = out / pairs.name / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_image(path, sr)
            if on_image:
                on_image(pairs.name, stem, lr, sr, hr)

        scores = evaluate(method.upscale, pairs, protocols=protocols, distance=distance, on_image=save)
        datasets[pairs.name] = {"lr": pairs.lr_about} | scores
    libraries = ("jax", "jaxlib", "flax", "numpy", "scipy", "pillow")
    results = {
        "srgan_jax": srgan_jax.__version__,
        "method": method.about,
        "scale": method.scale,
        "protocols": {name: PROTOCOLS[name].description for name in protocols},
        "vgg54": "mean squared difference of VGG19's features at conv5_4 (eq. 5)" if distance else None,
        "versions": {name: importlib.metadata.version(name) for name in libraries},
        "device": jax.devices()[0].device_kind,
        "datasets": datasets,
    }
    results = _infinity_as_null(results)
    if processes.is_first():
        replace_text(out / "results.json", json.dumps(results, indent=2) + "\n")
    return results


def table(results: dict) -> str:
    """The means as a Markdown table, with what its columns mean below it."""
    protocols = list(results["protocols"])
    columns = [f"{name}: PSNR (dB) | {name}: SSIM" for name in protocols] + ["VGG54 distance"] * bool(results["vgg54"])
    lines = ["| set | images | " + " | ".join(columns) + " |"]
    lines.append("|---|---|" + "---|" * (2 * len(protocols) + bool(results["vgg54"])))
    for name, scores in results["datasets"].items():
        cells = [name, str(scores["count"])]
        for protocol in protocols:
            psnr, ssim = scores["mean"][protocol]["psnr"], scores["mean"][protocol]["ssim"]
            cells += ["∞" if psnr is None else f"{psnr:.3f}", f"{ssim:.4f}"]
        cells += [f"{scores['mean']['vgg54']:.5f}"] if results["vgg54"] else []
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    lines += [f"{name}: {description}" for name, description in results["protocols"].items()]
    lines += [f"VGG54 distance: {results['vgg54']}; smaller is nearer."] if results["vgg54"] else []
    for name, scores in results["datasets"].items():
        cropped = f"; {scores['cropped']} HR images cropped to a multiple of {results['scale']}"
        lr = ", ".join(value for value in scores["lr"].values() if value)
        lines.append(f"{name}: LR {lr}{cropped * bool(scores['cropped'])}.")
    return "\n".join(lines)
