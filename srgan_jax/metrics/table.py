"""The table of metrics: what each one says, which way is better, what it needs, and how its scorer is made.

A new metric is one row of METRICS. The training loop, eval.py, its tables, its comparisons and its reports take it from
there:

    scorers = make_scorers(("psnr", "ssim", "niqe"), protocols=("matlab",))
    scorers["niqe"]([Sample(sr, hr, lr, scale=4)])  ->  [4.21]
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.metrics import fidelity
from srgan_jax.metrics.dists import make_dists
from srgan_jax.metrics.features import make_feature_distance
from srgan_jax.metrics.lpips import make_lpips
from srgan_jax.metrics.niqe import niqe
from srgan_jax.metrics.protocols import PROTOCOLS, LRPicture, Protocol, SRPicture, check_protocols
from srgan_jax.types import UInt8
from srgan_jax.weights.perceptual import NETWORKS, folder, load_dists, load_lpips
from srgan_jax.weights.vgg19 import load_vgg19


class Sample(NamedTuple):
    """A picture that was enlarged, and what it can be compared with.

    Attributes:
      sr, hr: uint8 [H, W, 1 or 3], of one size. A grey hr may meet an RGB sr.
      lr: uint8 [H / scale, W / scale, 1 or 3].
      scale: the factor of super-resolution.
      border: how LR was reduced at the edge of HR; see resize.imresize.
    """

    sr: SRPicture
    hr: SRPicture
    lr: LRPicture
    scale: int
    border: str = "symmetric"


# Scores one sample after the other, or all of them at once where a network can: one value for each sample. The value is
# a number, or for a protocol {"psnr": dB, "ssim": …}. A scorer raises an InputError for a sample that it cannot score.
Scorer = Callable[[Sequence[Sample]], list[Any]]


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
      name: its key in METRICS, in results.json and on command lines.
      label: what the columns of tables are called.
      digits: how many of them are printed after the point.
      definition: one sentence for tables and files of results; it begins with a small letter and has no full stop.
      best: where the metric is better: `math.inf` if higher is better, 0 if lower is better, or the value of a perfect
        picture, so that nearer is better.
      needs: which parts of a sample it looks at besides SR; it is full-reference if "hr" is among them.
      weights: name of the file of trained weights that it needs, if any.
      make: path of these weights, None for where they are kept by default -> Scorer; None for a metric that a protocol
        defines.
      default: whether it is computed where nobody has chosen metrics and its weights are at hand.
    """

    name: str
    label: str
    digits: int
    definition: str
    best: float
    needs: tuple[str, ...]
    weights: str | None = None
    make: Callable[[Any], Scorer] | None = None
    default: bool = True

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        return {math.inf: "higher is better", 0: "lower is better"}.get(self.best, f"best at {self.best:g}")

    @property
    def title(self) -> str:
        """The label with an arrow towards better values."""
        arrow = {math.inf: "↑", 0: "↓"}.get(self.best, f"→ {self.best:g}")
        return f"{self.label} {arrow}"

    def merit(self, value: float) -> float:
        """Return what is higher for a better value: the value itself, or minus its distance from the best one.

        A value that is not a number has the lowest merit.
        """
        if math.isnan(value):
            return -math.inf
        return value if self.best == math.inf else -abs(value - self.best)

    def text(self, value: float | None, *, digits: int | None = None, signed: bool = False) -> str:
        """Return the value as tables print it.

        None is what files of results hold for a value that is not finite: the PSNR of two equal pictures, or a metric
        that is not defined for a picture.
        """
        if value is None or not math.isfinite(value):
            return "∞" if self.best == math.inf else "–"
        return f"{value:{'+' if signed else ''}.{self.digits if digits is None else digits}f}"


def one_by_one(function: Callable[[Sample], Any]) -> Scorer:
    """Return a scorer that looks at one sample after the other."""
    return lambda samples: [function(sample) for sample in samples]


def _needs_no_weights(function: Callable[[Sample], float]) -> Callable[[Any], Scorer]:
    return lambda path: one_by_one(function)


def _of_pairs(score: Callable[[Sequence[tuple[SRPicture, SRPicture]]], list[float]]) -> Scorer:
    return lambda samples: score([(sample.sr, sample.hr) for sample in samples])


def _cropped(picture: SRPicture, border: int) -> UInt8[np.ndarray, "cropped_h cropped_w _"]:
    return picture[border : len(picture) - border, border : picture.shape[1] - border]


def _vgg54(path: Any) -> Scorer:
    distance = make_feature_distance(*load_vgg19(path or "", ("vgg54",)))
    return one_by_one(lambda sample: distance(sample.sr, sample.hr))


METRICS = {
    row.name: row
    for row in (
        Metric(
            "psnr",
            "PSNR (dB)",
            3,
            "peak signal-to-noise ratio between SR and HR, as the protocol defines it",
            best=math.inf,
            needs=("hr",),
        ),
        Metric(
            "ssim",
            "SSIM",
            4,
            "structural similarity of SR and HR, as the protocol defines it",
            best=math.inf,
            needs=("hr",),
        ),
        Metric(
            "rmse",
            "RMSE",
            3,
            "root mean squared error of luma (BT.601, whole levels) between SR and HR, 4 pixels cropped off each side, "
            "as in PIRM 2018; the mean is that over the pictures",
            best=0,
            needs=("hr",),
            make=lambda path: _of_pairs(fidelity.make_rmse()),
            default=False,
        ),
        Metric(
            "lr_psnr",
            "LR-PSNR (dB)",
            2,
            "peak signal-to-noise ratio over all channels between LR and SR reduced by MATLAB's bicubic imresize",
            best=math.inf,
            needs=("lr", "scale", "border"),
            make=_needs_no_weights(
                lambda sample: fidelity.lr_psnr(sample.sr, sample.lr, scale=sample.scale, border=sample.border)
            ),
        ),
        Metric(
            "contrast",
            "contrast",
            3,
            "standard deviation of SR's levels over that of HR's, averaged over the channels",
            best=1,
            needs=("hr",),
            make=_needs_no_weights(lambda sample: fidelity.contrast(sample.sr, sample.hr)),
        ),
        Metric(
            "grid",
            "grid",
            2,
            "RMS, in levels, of what repeats in flat regions of SR with the period of the scale",
            best=0,
            needs=("scale",),
            make=_needs_no_weights(lambda sample: fidelity.grid(sample.sr, scale=sample.scale)),
        ),
        Metric(
            "niqe",
            "NIQE",
            3,
            "distance of SR's statistics from those of photographs (Mittal et al. 2013, with the authors' model), as "
            "many pixels as the scale cropped off each side",
            best=0,
            needs=("scale",),
            make=lambda path: lambda samples: niqe([_cropped(sample.sr, sample.scale) for sample in samples]),
        ),
        Metric(
            "lpips_alex",
            "LPIPS-alex",
            4,
            "learned perceptual distance between SR and HR (Zhang et al. 2018, version 0.1, AlexNet)",
            best=0,
            needs=("hr",),
            weights="alex",
            make=lambda path: _of_pairs(make_lpips(load_lpips("alex", path), "alex")),
        ),
        Metric(
            "lpips_vgg",
            "LPIPS-vgg",
            4,
            "learned perceptual distance between SR and HR (Zhang et al. 2018, version 0.1, VGG16)",
            best=0,
            needs=("hr",),
            weights="vgg",
            make=lambda path: _of_pairs(make_lpips(load_lpips("vgg", path), "vgg")),
        ),
        Metric(
            "dists",
            "DISTS",
            4,
            "distance of structures and textures between SR and HR (Ding et al. 2020), at full size",
            best=0,
            needs=("hr",),
            weights="vgg",
            make=lambda path: _of_pairs(make_dists(load_dists(path))),
        ),
        Metric(
            "vgg54",
            "VGG54",
            4,
            "mean squared difference of VGG19's features at conv5_4 between SR and HR (the SRGAN paper's eq. 5)",
            best=0,
            needs=("hr",),
            weights="vgg19",
            make=_vgg54,
        ),
    )
}


def check_metrics(names: Iterable[str]) -> None:
    """Raise an InputError for the first name that is no row of the table."""
    for name in names:
        if name not in METRICS:
            raise InputError(f"there is no metric {name!r}; {nearest_name(name, METRICS)}")


def better(name: str, value: float, other: float) -> bool:
    """Return whether one value of a metric is better than another; what is not a number is worse than all others."""
    merit = METRICS[name].merit
    return merit(value) > merit(other)


def make_scorers(
    names: Iterable[str], *, protocols: Iterable[str] = ("matlab",), weights: Mapping[str, Any] | None = None
) -> dict[str, Scorer]:
    """Build the scorers of some metrics, which reads the weights that they need.

    Args:
      names: rows of METRICS.
      protocols: names out of PROTOCOLS, under each of which PSNR and SSIM are computed, if they are among the names.
      weights: files of weights by the name that rows give them; others are looked for where they are kept by default.

    Returns:
      {protocol or metric: scorer}, in the order in which tables print them.

    Raises:
      InputError: for an unknown name, or weights that are missing or damaged.
    """
    names, protocols = tuple(dict.fromkeys(names)), tuple(protocols)
    check_metrics(names)
    check_protocols(protocols)
    of_protocols = tuple(name for name in names if METRICS[name].make is None)
    scorers = {name: _of_protocol(PROTOCOLS[name], of_protocols) for name in protocols if of_protocols}
    for row in (METRICS[name] for name in names if name not in of_protocols):
        scorers[row.name] = row.make((weights or {}).get(row.weights))
    return scorers


def default_scorers(*, protocols: Iterable[str], weights: Mapping[str, Any] | None = None) -> dict[str, Scorer]:
    """Build the scorers of all default metrics whose weights are at hand; arguments are those of make_scorers.

    A metric that no protocol defines gives NaN, instead of an error, for a picture that it cannot score.
    """
    names = [row.name for row in METRICS.values() if row.default and _at_hand(row, weights or {})]
    scorers = make_scorers(names, protocols=protocols, weights=weights)
    return {name: scorer if name in PROTOCOLS else where_defined(scorer) for name, scorer in scorers.items()}


def _at_hand(row: Metric, weights: Mapping[str, Any]) -> bool:
    """Return whether a metric needs no weights, or has them."""
    if row.weights is None or row.weights in weights:
        return True
    return row.weights in NETWORKS and (folder() / NETWORKS[row.weights].file).is_file()


def _of_protocol(protocol: Protocol, names: tuple[str, ...]) -> Scorer:
    def score(sample: Sample) -> dict[str, float]:
        planes = [image[..., 0] if image.shape[-1] == 1 else image for image in (sample.sr, sample.hr)]
        scores = protocol.score(*planes, scale=sample.scale)
        return {name: scores[name] for name in names}

    return one_by_one(score)


def where_defined(score: Scorer) -> Scorer:
    """Return the scorer with NaN, instead of an error, for each sample that it cannot score."""

    def lenient(samples: Sequence[Sample]) -> list[float]:
        try:
            return score(samples)
        except InputError:
            if len(samples) == 1:
                return [math.nan]
            return [value for sample in samples for value in lenient([sample])]

    return lenient
