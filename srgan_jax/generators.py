"""A trained generator, from whatever holds one."""

import dataclasses
import logging
import pathlib

import jax
import numpy as np

from srgan_jax import digests, upscaling
from srgan_jax.errors import InputError, nearest_name
from srgan_jax.models import (
    GeneratorNetwork,
    architecture_in,
    architecture_of,
    create_generator,
    expected_variables,
)
from srgan_jax.photos.enlarging import enlarge_images
from srgan_jax.types import Variables
from srgan_jax.weights import checkpoints, release

EMA = ":ema"  # after a run's directory

_log = logging.getLogger("srgan_jax")

SHIPPED = pathlib.Path(__file__).parent / "pretrained"


@dataclasses.dataclass(frozen=True)
class Generator:
    """A network with its arrays.

    Attributes:
      module: the network, computing in float32.
      variables: {"params": …, "batch_stats": …}.
      name: the file or directory that it came from.
      info: what is known of its training and evaluation; JSON.
    """

    module: GeneratorNetwork
    variables: Variables
    name: str
    info: dict

    @property
    def architecture(self) -> dict:
        """What makes the network again: models.create_generator(architecture)."""
        return architecture_of(self.module)

    def sha256(self) -> str:
        """Digest of names, shapes and bytes of all arrays: the same whatever file they came in."""
        return digests.of_variables(self.variables)

    def upscale(
        self,
        pictures,
        *,
        scale: float | None = None,
        ensemble: bool = False,
        consistent: bool | None = None,
        tile: int = upscaling.TILE,
    ):
        """Enlarge a picture, or a list of them, on all local devices; a list is quicker than one by one.

        Args:
          pictures: Pillow images, or uint8 or uint16 arrays [H, W] or [H, W, 1 to 4]; see
            photos.enlarging.enlarge_images, which also says what comes back and what is raised.
          scale: of the result, above 0 and at most 64; by default the network's.
          ensemble: average the results for the eight flips and turns of the picture: better, and takes 8 times as long.
          consistent: make results whose bicubic reduction is the picture (upscaling.make_consistent); by default as
            `info` says of the model ("consistent").
          tile: LR pixels computed at once in each direction; 0: all of a picture.
        """
        upscaler = upscaling.Upscaler(self, tile=tile, ensemble=ensemble, devices=jax.local_devices())
        return enlarge_images(pictures, upscaler, scale=scale, consistent=consistent)


def create(module: GeneratorNetwork, variables: Variables, *, name: str, info: dict) -> Generator:
    """Make a Generator of a network and its arrays.

    Raises:
      InputError: the arrays are not those of the network, or not finite; the message names the first.
    """
    checkpoints.check_same_arrays(name, variables, expected_variables(module))
    for key, array in sorted(digests.flat(variables).items()):
        if not np.isfinite(array).all():
            raise InputError(
                f"{name}: {key} holds NaN or infinite values; the file is damaged or its training diverged."
            )
    return Generator(module, variables, name, info)


def shipped_names() -> list[str]:
    """Names of the trained generators that come with the package; `load` takes them."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def _read_checkpoint(paths: list[pathlib.Path], *, ema: bool) -> tuple[pathlib.Path, dict, dict, dict]:
    """(path, architecture, variables, info) of the first checkpoint that is not damaged; the others are named."""
    for path in paths:
        try:
            config, variables = checkpoints.read_generator(path, ema=ema)
            metrics = checkpoints.read_metrics(path)
        except checkpoints.DamagedError as error:
            if path == paths[-1]:
                raise
            _log.warning("%s Another checkpoint of the run is taken.", error)
            continue
        step = int(path.name) if path.name.isdecimal() else None
        return path, architecture_in(config), variables, {"config": config, "step": step, "evaluation": metrics}
    raise AssertionError("find_checkpoints gives at least one path")


def load(path, *, step: int | None = None) -> Generator:
    """Load a generator for evaluation and upscaling.

    Args:
      path: a name out of shipped_names(), a run directory (its best checkpoint is taken), one checkpoint of it, or
        an exported .safetensors file; with ":ema" after it a run's or checkpoint's running average of the generator.
      step: of a run directory, the checkpoint to take instead of the best.

    Raises:
      InputError: nothing there, or its arrays do not fit the architecture that it states.
    """
    name, ema = str(path), str(path).endswith(EMA)
    path = SHIPPED / f"{name}.safetensors" if name in shipped_names() else pathlib.Path(name.removesuffix(EMA))
    if path.is_dir():
        path, architecture, variables, info = _read_checkpoint(checkpoints.find_checkpoints(path, step=step), ema=ema)
    elif ema:
        raise InputError(f"{path}{EMA}: expected a run or checkpoint directory before {EMA}.")
    elif path.suffix == ".safetensors":
        architecture, variables, info = release.read_release(path)
    elif path.exists():
        raise InputError(
            f"{path}: expected a run directory, a checkpoint directory, or a .safetensors file; "
            "python -m srgan_jax.weights import makes one of other projects' generators."
        )
    else:
        known = nearest_name(name, shipped_names())
        raise InputError(f"{path}: no such file or directory, and no name of a shipped model; {known}")
    if info.get("config", {}).get("stage") == "adversarial":
        info = {"consistent": True} | info  # what a GAN invents is not to contradict the picture
    try:
        module = create_generator(architecture)
    except InputError as error:
        raise InputError(f"{path} is damaged, or of another version of srgan_jax: {error}") from None
    return create(module, variables, name=name, info=info)
