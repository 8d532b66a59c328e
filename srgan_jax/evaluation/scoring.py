"""Whole pictures -> scores, and the files that hold them."""

import functools
import importlib.metadata
import json
import math
import operator
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

import srgan_jax
from srgan_jax.errors import InputError
from srgan_jax.evaluation.methods import Method
from srgan_jax.evaluation.sets import EvaluationSet
from srgan_jax.files import replace_text
from srgan_jax.images import ImageError, save_image
from srgan_jax.metrics import METRICS, PROTOCOLS, LRPicture, Sample, Scorer, SRPicture, make_scorers
from srgan_jax.parallel import processes

PIXELS = 2**24  # of HR pictures that wait until they are scored together, which a network does faster


def evaluate(
    upscale: Callable[[LRPicture], SRPicture],
    pairs: EvaluationSet,
    *,
    metrics: Mapping[str, Scorer] | None = None,
    on_image: Callable[[str, LRPicture, SRPicture, SRPicture], Any] | None = None,
) -> dict[str, Any]:
    """Score what a function makes of every LR picture of a set; arguments and result are otherwise those of `score`.

    Args:
      upscale: uint8 LR [H, W, C] -> uint8 SR.
    """
    return score(lambda pairs, i, lr: upscale(lr), pairs, metrics=metrics, on_image=on_image)


def score(
    enlarge: Callable[[EvaluationSet, int, LRPicture], SRPicture],
    pairs: EvaluationSet,
    *,
    metrics: Mapping[str, Scorer] | None = None,
    on_image: Callable[[str, LRPicture, SRPicture, SRPicture], Any] | None = None,
) -> dict[str, Any]:
    """Score every picture of a set; several processes divide them.

    Args:
      enlarge: as methods.Method has it.
      metrics: scorers by name, from metrics.make_scorers; by default PSNR and SSIM of the protocol "matlab".
      on_image: called with (stem, lr, sr, hr) of each picture that this process scores.

    Returns:
      {"count", "cropped", "images": {stem: scores}, "mean": scores}, where scores are {protocol: {"psnr", "ssim"},
      metric: value}. "cropped" counts the pictures that were no multiple of the scale. The PSNR of equal pictures is
      infinite, a metric that is not defined for a picture is NaN, and so are means over such pictures.

    Raises:
      InputError: a picture cannot be read, or a metric cannot score it.
    """
    metrics = make_scorers(("psnr", "ssim")) if metrics is None else metrics
    images, cropped = {}, 0

    def samples() -> Iterator[tuple[str, Sample]]:
        nonlocal cropped
        for i in processes.share(range(len(pairs.stems))):
            try:
                lr, hr, was_cropped = pairs.pair(i)
                sr = enlarge(pairs, i, lr)
            except ImageError as error:
                raise InputError(f"{pairs.name}: {error}") from None
            cropped += was_cropped
            if on_image:
                on_image(pairs.stems[i], lr, sr, hr)
            yield pairs.stems[i], Sample(sr, hr, lr, pairs.scale, pairs.border)

    for batch in _batches(samples()):
        scores = {name: _score(scorer, batch, pairs.name) for name, scorer in metrics.items()}
        for i, stem in enumerate(batch):
            images[stem] = {name: values[i] for name, values in scores.items()}
    found, cropped = zip(*processes.gather((images, cropped)), strict=True)
    found, cropped = functools.reduce(operator.or_, found), sum(cropped)
    images = {stem: found[stem] for stem in pairs.stems}
    return {"count": len(images), "cropped": cropped, "images": images, "mean": _mean(list(images.values()))}


def _batches(samples: Iterable[tuple[str, Sample]]) -> Iterator[dict[str, Sample]]:
    """Yield samples by their stems, in batches that hold some PIXELS."""
    batch, pixels = {}, 0
    for stem, sample in samples:
        batch[stem] = sample
        pixels += math.prod(sample.hr.shape[:2])
        if pixels >= PIXELS:
            yield batch
            batch, pixels = {}, 0
    if batch:
        yield batch


def _score(scorer: Scorer, batch: dict[str, Sample], name: str) -> list[Any]:
    """Return the scores of a batch; where there are none, the error names the picture."""
    try:
        return scorer(list(batch.values()))
    except InputError as error:
        if len(batch) == 1:
            raise InputError(f"{name}/{next(iter(batch))}: {error}") from None
        return [value for stem, sample in batch.items() for value in _score(scorer, {stem: sample}, name)]


def _mean(scores: list[Any]) -> Any:
    """Return the mean over images of nested dicts of numbers, key by key."""
    if isinstance(scores[0], dict):
        return {key: _mean([score[key] for score in scores]) for key in scores[0]}
    return float(np.mean(scores))


def finite_or_null(tree: Any) -> Any:
    """Replace infinity and NaN, which JSON does not have, by null."""
    if isinstance(tree, dict):
        return {key: finite_or_null(value) for key, value in tree.items()}
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def outputs(sets: list[EvaluationSet], out: str | pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    """Return what `run` writes to `out`, and from what, as files.check_outputs takes it."""
    out = pathlib.Path(out)
    pictures = [(out / pairs.name / f"{stem}.png", f"{pairs.name}/{stem}") for pairs in sets for stem in pairs.stems]
    return [(out / "results.json", "the scores"), *pictures]


def run(
    method: Method,
    sets: Iterable[EvaluationSet],
    out: str | pathlib.Path,
    *,
    metrics: Mapping[str, Scorer],
    on_image: Callable[[str, str, LRPicture, SRPicture, SRPicture], Any] | None = None,
) -> dict[str, Any]:
    """Evaluate a method on several sets; writes OUT/results.json and the SR images, OUT/NAME/STEM.png.

    Args:
      metrics: scorers by name, from metrics.make_scorers.
      on_image: called with (set's name, stem, lr, sr, hr) of each picture.

    Returns:
      What results.json holds: "datasets" as `score` returns them, beside all that it takes to make them again.
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

        datasets[pairs.name] = {"lr": pairs.lr_about} | score(method.enlarge, pairs, metrics=metrics, on_image=save)
    libraries = ("jax", "jaxlib", "flax", "numpy", "scipy", "pillow")
    rows = [METRICS[name] for name in metrics if name in METRICS]
    results = {
        "srgan_jax": srgan_jax.__version__,
        "method": method.about,
        "scale": method.scale,
        "protocols": {name: PROTOCOLS[name].description for name in metrics if name in PROTOCOLS},
        "metrics": {row.name: f"{row.definition}; {row.direction}" for row in rows},
        "versions": {name: importlib.metadata.version(name) for name in libraries},
        "device": jax.devices()[0].device_kind,
        "datasets": datasets,
    }
    results = finite_or_null(results)
    if processes.is_first():
        replace_text(out / "results.json", json.dumps(results, indent=2) + "\n")
    return results
