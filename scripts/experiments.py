"""The experiments of docs/beyond.md: which runs they compare, and what the page asks of them."""

import dataclasses
import pathlib
import re
import shutil
from collections.abc import Callable

import jax
import numpy as np

from scripts.scenes import FURTHEST, NEAREST, write_scenes
from srgan_jax.configs import real_photos
from srgan_jax.data.degradations import create_degradation
from srgan_jax.errors import InputError
from srgan_jax.images import decode_image, save_image
from srgan_jax.images.resize import MARGIN_LR

SCALE = 4
PHOTOS = {"data.source": "folder", "data.path": "{photos}", "data.sampling": "area", "data.holdout": 0.02}
FROM_SRRESNET = {"init_from": "srresnet-x4"}
GAN = (
    PHOTOS
    | FROM_SRRESNET
    | {
        "vgg_weights": "{vgg19}",
        "discriminator_first": 40,
        "optimizer.generator_warmup_steps": 40,
        "optimizer.learning_rate": 3e-4,
        "ema_decay": 0.98,
    }
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run, or a method that needs no training.

    Attributes:
      label: what the page calls it.
      config: file of configs/, perhaps with ":RECIPE".
      fields: of the config that it changes; {photos}, {vgg19}, {domains} and {out} stand for paths.
      updates: of G, 0 where nothing is trained.
      method: what eval.py is given where nothing is trained.
      average: whether the running average is evaluated.
      evaluation: further flags of eval.py.
    """

    label: str
    config: str = ""
    fields: dict = dataclasses.field(default_factory=dict)
    updates: int = 0
    method: str = ""
    average: bool = False
    evaluation: tuple[str, ...] = ()

    def scaled(self, share: float) -> "Run":
        """Return the run with a share of its updates."""
        if not self.updates or share == 1:
            return self
        return dataclasses.replace(self, updates=max(2, round(share * self.updates)))


def no_more_sets(folder: pathlib.Path, arguments) -> list[str]:
    """Return no sets: the experiment is evaluated on those of the command line alone."""
    return []


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A section of the page.

    Attributes:
      title, question: what the section begins with.
      runs: what is compared.
      shown: (set, stem) of the strip of pictures; "" is the set's first picture.
      costs: whether to tell how large and fast the networks are.
      depth: whether the runs learn the depth of rendered scenes, and are scored on others of them instead of sets.
      prepare: (folder, the arguments) -> further evaluation sets, as for eval.py.
    """

    title: str
    question: str
    runs: tuple[Run, ...]
    shown: tuple[str, ...] = ("Set5", "")
    costs: bool = False
    depth: bool = False
    prepare: Callable[[pathlib.Path, object], list[str]] = no_more_sets


def slug(label: str) -> str:
    """Return a label as the name of a folder."""
    return re.sub(r"\W+", "_", label.lower()).strip("_")


def adversarial(label: str, **losses) -> Run:
    """Make some updates of the consistent recipe with another adversarial loss."""
    weights = {f"losses.{name}": weight for name, weight in ({"adversarial": 0.0} | losses).items()}
    return Run(label, "srgan_consistent.py", GAN | weights, 120, average=True, evaluation=("--no-consistent",))


def content(label: str, **losses) -> Run:
    """Make some updates of a content loss, from the shipped SRResNet."""
    weights = {f"losses.{name}": weight for name, weight in ({"mse": 0.0} | losses).items()}
    fields = PHOTOS | FROM_SRRESNET | weights | {"optimizer.learning_rate": 1e-4, "vgg_weights": "{vgg19}"}
    return Run(label, "srresnet_mse.py", fields, updates=100)


def thermal_sets(folder: pathlib.Path, arguments) -> list[str]:
    """Divide the thermal pictures: every fifth one is for evaluation."""
    if arguments.domains is None or not (arguments.domains / "thermal").is_dir():
        raise InputError(f"--domains {arguments.domains}: expected a folder with the folder thermal/ in it.")
    for i, path in enumerate(sorted((arguments.domains / "thermal").glob("*.jpg"))):
        part = folder / "sets" / ("thermal/HR" if i % 5 == 0 else "thermal_train")
        part.mkdir(parents=True, exist_ok=True)
        if i % 5 == 0:
            save_image(part / f"{path.stem}.png", decode_image(path))
        else:
            shutil.copy(path, part / path.name)
    return [f"thermal={folder / 'sets' / 'thermal'}"]


def degraded_sets(folder: pathlib.Path, arguments) -> list[str]:
    """Make the first set anew, with an LR that is blurred, noisy and compressed.

    HR loses the margin that the degradation takes.
    """
    source = pathlib.Path(arguments.data[0].partition("=")[2])
    degrade = create_degradation(real_photos.get_config("blur_noise_jpeg").data.degradation, scale=SCALE)
    out, margin = folder / "sets" / "degraded", MARGIN_LR * SCALE
    for part in ("HR", f"LRx{SCALE}"):
        (out / part).mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(sorted((source / "HR").iterdir())):
        hr = decode_image(path)
        hr = hr[: hr.shape[0] // SCALE * SCALE, : hr.shape[1] // SCALE * SCALE]
        side = min(hr.shape[:2])  # crops are square
        top, left = ((n - side) // 2 // SCALE * SCALE for n in hr.shape[:2])
        hr = hr[top : top + side, left : left + side]
        lr = np.asarray(degrade(hr[None], jax.random.key(number)))[0]
        save_image(out / "HR" / f"{path.stem}.png", hr[margin:-margin, margin:-margin])
        save_image(out / f"LRx{SCALE}" / f"{path.stem}.png", lr.round().astype(np.uint8))
    return [f"degraded={out}"]


def student(label: str, network: str, updates: int, *, teacher: bool = False) -> Run:
    """Train a light generator, taught by HR alone or by the shipped SRResNet as well."""
    alone = {"losses.teacher_l1": 0.0, "losses.teacher_affinity": 0.0, "teacher": ""}
    return Run(label, f"fast.py:{network}", PHOTOS if teacher else PHOTOS | alone, updates=updates)


def scenes(folder: pathlib.Path, arguments) -> list[str]:
    """Render the scenes to learn from, and others for scoring."""
    write_scenes(folder / "scenes", range(200))
    write_scenes(folder / "scored", range(1_000, 1_020))
    return []


SHORT = {"optimizer.schedule": "cosine", "optimizer.learning_rate": 1e-3, "optimizer.warmup_steps": 50}
DEPTH = SHORT | {
    "channels": 1,
    "batch_size": 16,
    "losses.mse": 0.0,
    "losses.l1": 1.0,
    "generator.features": 32,
    "generator.num_blocks": 6,
    "data.source": "arrays",
    "data.path": "{out}/scenes/depth",
    "data.range": (NEAREST, FURTHEST),
    "data.holdout": 0.02,
    "data.crop_size": 96,
}

EXPERIMENTS = {
    "adversarial": Experiment(
        "Adversarial losses",
        "From the shipped SRResNet, `configs/srgan_consistent.py` makes a few updates with each of the adversarial "
        "losses of [losses.md](losses.md), and first on the content alone. SR is as the network gives it.",
        (
            adversarial("content alone"),
            adversarial("vanilla", adversarial=0.01),
            adversarial("least squares", least_squares=0.01),
            adversarial("hinge", hinge=0.01),
            adversarial("relativistic average", relativistic_average=0.01),
        ),
    ),
    "content": Experiment(
        "Content losses",
        "From the shipped SRResNet, a few updates with each of these content losses and nothing else.",
        (
            content("mse", mse=1.0),
            content("l1 and edge", l1=1.0, edge=0.05),
            content("l1 and ms_ssim", l1=1.0, ms_ssim=0.2),
            content("l1 and focal_frequency", l1=1.0, focal_frequency=0.1),
            content("vgg54", vgg54=0.006),
            Run(
                "l1, lr_l1, phase and features of five depths",
                "srgan_consistent.py",
                PHOTOS | FROM_SRRESNET | {"stage": "content", "losses.adversarial": 0.0, "vgg_weights": "{vgg19}"},
                updates=100,
            ),
        ),
    ),
    "invention": Experiment(
        "No hallucination",
        "The content-first recipe, and the shipped SRGAN with and without consistency with LR.",
        (
            Run("srresnet-x4", method="srresnet-x4"),
            Run("content first", "content_first.py", PHOTOS | FROM_SRRESNET, updates=150),
            Run("srgan-x4, as it is", method="srgan-x4", evaluation=("--no-consistent",)),
            Run("srgan-x4, consistent", method="srgan-x4", evaluation=("--consistent",)),
        ),
    ),
    "light": Experiment(
        "Light generators and a teacher",
        "The shipped `fast-x4`, an ECBSR, has made 6,000 updates of 16 crops, as has `srresnet-x4`. The others make "
        "1,500, by the recipe of `configs/fast.py` with its teacher or without.",
        (
            Run("fast-x4", method="fast-x4"),
            student("ecbsr, taught by HR", "ecbsr", 1_500),
            student("ecbsr, taught by HR and SRResNet", "ecbsr", 1_500, teacher=True),
            student("mobile, taught by HR", "mobile", 1_500),
            Run("srresnet-x4", method="srresnet-x4"),
        ),
        costs=True,
    ),
    "scales": Experiment(
        "Several scales in one network",
        "MDSR learns 2, 3 and 4 times together; EDSR of the same size learns 4 times alone. Both are evaluated at 4 "
        "times after as many updates, of which a third of MDSR's were for this scale.",
        (
            Run(
                "MDSR",
                "several_scales.py",
                PHOTOS | SHORT | {"data.crop_size": 96, "generator.features": 32, "generator.num_blocks": 8},
                updates=1_500,
            ),
            Run(
                "EDSR",
                "baselines.py:edsr_common",
                PHOTOS
                | SHORT
                | {"data.crop_size": 96, "batch_size": 16, "generator.features": 32, "generator.num_blocks": 8},
                updates=1_500,
            ),
        ),
    ),
    "guided": Experiment(
        "Depth beside colours",
        "The networks learn from 200 rendered scenes (`scripts/scenes.py`) and are scored on 20 others: depth in "
        "metres at a quarter of the size, and a colour picture of the full size. EDSR sees the depth alone; the guided "
        "network sees the colours as well.",
        (
            Run("bicubic interpolation", method="bicubic"),
            Run("EDSR", "baselines.py:edsr_common", DEPTH, updates=1_500),
            Run("guided", "guided.py", DEPTH | {"data.guide": "{out}/scenes/colour"}, updates=1_500),
        ),
        depth=True,
        prepare=scenes,
    ),
    "domain": Experiment(
        "Another domain",
        "Thermal pictures of the HIT-UAV data set (CC BY 4.0), 8 of them for evaluation. The shipped SRGAN goes on "
        "learning from the others (`configs/finetune.py`, with a discriminator that begins anew). The first set tells "
        "what was forgotten of photographs.",
        (
            Run("srgan-x4", method="srgan-x4"),
            Run(
                "fine-tuned",
                "finetune.py",
                {
                    "init_from": "srgan-x4",
                    "init_networks": "g",
                    "vgg_weights": "{vgg19}",
                    "data.path": "{out}/sets/thermal_train",
                    "discriminator_first": 40,
                    "freeze_steps": 60,
                    "optimizer.generator_warmup_steps": 20,
                    "ema_decay": 0.98,
                },
                updates=150,
                average=True,
            ),
        ),
        shown=("thermal", ""),
        prepare=thermal_sets,
    ),
    "degradations": Experiment(
        "Photos that were not reduced by bicubic interpolation",
        "The degraded set is the first one, blurred, with a little noise, and compressed "
        "(`configs/real_photos.py:blur_noise_jpeg`). One run continues to learn from bicubic reductions, the other "
        "from degraded pictures.",
        (
            Run("bicubic reductions", "srresnet_mse.py", PHOTOS | FROM_SRRESNET | SHORT, updates=200),
            Run("degraded pictures", "real_photos.py:blur_noise_jpeg", PHOTOS | FROM_SRRESNET | SHORT, updates=200),
        ),
        shown=("degraded", ""),
        prepare=degraded_sets,
    ),
}
