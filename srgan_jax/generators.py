"""A trained generator, from whatever holds one."""

import dataclasses
import logging
import pathlib
from collections.abc import Iterable, Sequence

import jax
import numpy as np
from PIL import Image

from srgan_jax import digests, trees, upscaling
from srgan_jax.data.arrays import value_range
from srgan_jax.data.degradations import changes_lr
from srgan_jax.errors import InputError, install, nearest_name
from srgan_jax.models import (
    GeneratorNetwork,
    architecture_in,
    architecture_of,
    create_generator,
    expected_variables,
)
from srgan_jax.photos.enlarging import enlarge_images
from srgan_jax.types import AnyArray, Float, Shaped, Variables
from srgan_jax.upscaling.values import enlarge_values
from srgan_jax.weights import hub, release
from srgan_jax.weights.manifest import DamagedError
from srgan_jax.weights.matching import check_same_arrays

EMA = ":ema"  # after a run's directory

_log = logging.getLogger("srgan_jax")

REFERENCE = "srresnet-x4"  # the shipped model that was trained for the least error
INVENTS = "adds detail that looks plausible and need not have been there"  # what a Generator that `invents` does

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

    def __repr__(self) -> str:
        count = sum(np.size(array) for array in jax.tree.leaves(self.variables["params"]))
        return (
            f"<Generator {self.name!r}: {self.architecture['network']}, {self.module.scale} times, "
            f"{self.module.channels} channels, {count:,} parameters>"
        )

    @property
    def architecture(self) -> dict:
        """What makes the network again: models.create_generator(architecture)."""
        return architecture_of(self.module)

    @property
    def invents(self) -> bool:
        """Whether it was trained adversarially, and so adds plausible detail that need not have been there."""
        return self.info.get("config", {}).get("stage") == "adversarial"

    def sha256(self) -> str:
        """Digest of names, shapes and bytes of all arrays: the same whatever file they came in."""
        return digests.of_variables(self.variables)

    def folded(self) -> "Generator":
        """Return this generator without what only its training needs, such as branches of its convolutions."""
        module, variables = self.module.folded(self.variables)
        return dataclasses.replace(self, module=module, variables=variables)

    def at_scale(self, scale: float | None) -> "Generator":
        """Return this generator with its head for `scale`, where it has one (models.MDSR); otherwise itself."""
        if scale in (None, self.module.scale) or scale not in self.module.heads:
            return self
        return dataclasses.replace(self, module=self.module.clone(scale=int(scale)))

    def push_to_hub(self, address: str, *, private: bool | None = None, half: bool = False) -> str:
        """Upload the generator with a model card to the Hugging Face Hub; returns the commit's address (hub.push).

        Args:
          address: "USER/NAME", perhaps with "hf://" before it or "@BRANCH" after it.
          private: whether a new repository is private; by default as the Hub's settings of the user say.
          half: whether to store float16, which halves the file.
        """
        return hub.push(self, address, private=private, half=half)

    def upscale(
        self,
        pictures: Image.Image | np.ndarray | Sequence[Image.Image | np.ndarray],
        *,
        scale: float | None = None,
        ensemble: bool = False,
        consistent: bool | None = None,
        max_invention: float | None = None,
        reference: "Generator | str | pathlib.Path" = REFERENCE,
        tile: int = upscaling.TILE,
    ) -> Image.Image | np.ndarray | list[Image.Image | np.ndarray]:
        """Enlarge a picture, or a list of them, on all local devices; a list is quicker than one by one.

        Args:
          pictures: Pillow images, or uint8 or uint16 arrays [H, W] or [H, W, 1 to 4]; see
            photos.enlarging.enlarge_images, which also says what comes back and what is raised.
          scale: of the result, above 0 and at most 64; by default the network's. A network with a head for it uses this
            head; the result of any other is resized.
          ensemble: average the results for the eight flips and turns of the picture: better, and takes 8 times as long.
          consistent: make results whose bicubic reduction is the picture (upscaling.make_consistent); by default as
            `info` says of the model ("consistent").
          max_invention: the most levels of 8 bits, from 0 to 255, by which a result may leave that of `reference` in
            each pixel and channel (upscaling.invention); a consistent result is consistent as far as this allows.
          reference: a Generator that was trained for the least error, or what `load` takes; `max_invention` needs it.
          tile: LR pixels computed at once in each direction; 0: all of a picture.
        """
        networks = [self.at_scale(scale)]
        if max_invention is not None:
            networks.append(reference if isinstance(reference, Generator) else load(reference))
        upscaler, *compared = (
            upscaling.Upscaler(network, tile=tile, ensemble=ensemble, devices=jax.local_devices())
            for network in networks
        )
        compared = compared[0] if compared else None
        return enlarge_images(
            pictures, upscaler, scale=scale, consistent=consistent, reference=compared, max_invention=max_invention
        )

    def upscale_values(
        self,
        values: Shaped[AnyArray, "h w *c"],
        *,
        ends: tuple[float, float] | None = None,
        guide: Shaped[AnyArray, "sr_h sr_w *g"] | None = None,
        ensemble: bool = False,
        tile: int = upscaling.TILE,
    ) -> Float[np.ndarray, "sr_h sr_w *c"]:
        """Enlarge an array of measurements at its full depth, such as depth, heat or the channels of a microscope.

        Args:
          values: [H, W] or [H, W, C] of any integer or floating-point dtype; NaN marks a pixel without a value.
          ends: the lowest and the highest value, to which the network's range belongs; by default those of the training
            (config.data.range), or all that an integer dtype holds.
          guide: of a guided network (models.GuidedSR), a picture of the result's size: integers of their whole range,
            or floating point from 0 to 1.
          ensemble, tile: see `upscale`.

        Returns:
          float32 of scale · H x scale · W pixels, as many channels and the unit of `values`. NaN stays NaN.

        Raises:
          InputError: the network takes another number of channels, the range is not known, or the guide does not fit.
        """
        values = np.asarray(values)
        picture = values[..., None] if values.ndim == 2 else values
        if guide is not None:
            guide = np.asarray(guide)
            guide = guide[..., None] if guide.ndim == 2 else guide
        trained = self.info.get("config", {}).get("data", {}).get("range", ())
        known = value_range(trained if ends is None else ends, values.dtype, name="the array", field="ends")
        upscaler = upscaling.Upscaler(self, tile=tile, ensemble=ensemble, devices=jax.local_devices())
        return enlarge_values(picture, upscaler, known, guide=guide).reshape(
            *(self.module.scale * side for side in values.shape[:2]), *values.shape[2:]
        )


def create(module: GeneratorNetwork, variables: Variables, *, name: str, info: dict) -> Generator:
    """Make a Generator of a network and its arrays.

    Raises:
      InputError: the arrays are not those of the network, or not finite; the message names the first.
    """
    flat, blocks = trees.flat(variables), getattr(module, "num_blocks", 0)
    if blocks > len(flat):  # It takes a minute to find out what arrays a thousand blocks have.
        raise InputError(f"{name} is damaged: it says that it has {blocks} blocks, but it holds {len(flat)} arrays.")
    check_same_arrays(name, variables, expected_variables(module))
    for key, array in sorted(flat.items()):
        if not np.isfinite(array).all():
            raise InputError(
                f"{name}: {key} holds NaN or infinite values; the file is damaged or its training diverged."
            )
    return Generator(module, variables, name, info)


def shipped_names() -> list[str]:
    """Return the names of the trained generators that come with the package; `load` takes them."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def _find_checkpoints(path: pathlib.Path, step: int | None) -> list[pathlib.Path]:
    """Call checkpoints.find_checkpoints; an InputError where orbax, which reads them, is not installed."""
    try:
        from srgan_jax.weights.checkpoints import find_checkpoints
    except ImportError:
        raise InputError(f"{path}: checkpoints need orbax: {install('train')}.") from None
    return find_checkpoints(path, step=step)


def _read_checkpoint(paths: list[pathlib.Path], *, ema: bool) -> tuple[pathlib.Path, dict, dict, dict]:
    """Return (path, architecture, variables, info) of the first checkpoint that is not damaged.

    Those that are damaged are named in a warning.
    """
    from srgan_jax.weights import checkpoints  # imports orbax, which release files do not need

    for path in paths:
        try:
            config, variables = checkpoints.read_generator(path, ema=ema)
            metrics = checkpoints.read_metrics(path)
        except DamagedError as error:
            if path == paths[-1]:
                raise
            _log.warning("%s Another checkpoint of the run is taken.", error)
            continue
        step = int(path.name) if path.name.isdecimal() else None
        try:
            architecture = architecture_in(config)
        except InputError as error:
            raise InputError(f"{path} is damaged, or of another version of srgan_jax: {error}") from None
        return path, architecture, variables, {"config": config, "step": step, "evaluation": metrics}
    raise AssertionError("find_checkpoints gives at least one path")


def load(path: str | pathlib.Path, *, step: int | None = None, others: Iterable[str] = ()) -> Generator:
    """Load a generator for evaluation and upscaling.

    Args:
      path: a name out of shipped_names(), a run directory (its best checkpoint is taken), one checkpoint of it, or
        an exported .safetensors file; with ":ema" after it a run's or checkpoint's running average of the generator;
        or "hf://USER/NAME", a repository of the Hugging Face Hub.
      step: of a run directory, the checkpoint to take instead of the best.
      others: further names that the caller knows, which the message about an unknown name offers too.

    Raises:
      InputError: nothing there, or its arrays do not fit the architecture that it states.
    """
    name, ema = str(path), str(path).endswith(EMA)
    path = SHIPPED / f"{name}.safetensors" if name in shipped_names() else pathlib.Path(name.removesuffix(EMA))
    if name.startswith(hub.PREFIX):
        path = hub.fetch(name)
    if path.is_dir():
        path, architecture, variables, info = _read_checkpoint(_find_checkpoints(path, step), ema=ema)
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
        known = nearest_name(name, [*shipped_names(), *others])
        raise InputError(f"{path}: no such file or directory, and no name of a shipped model; {known}")
    try:
        module = create_generator(architecture)
    except InputError as error:
        raise InputError(f"{path} is damaged, or of another version of srgan_jax: {error}") from None
    generator = create(module, variables, name=name, info=info)
    if generator.invents and not changes_lr(info["config"]):  # what is invented is not to contradict the picture
        return dataclasses.replace(generator, info={"consistent": True} | info)
    return generator
