"""Checkpoints whose files are damaged."""

import contextlib
import logging
import pathlib
import random
import shutil
from collections.abc import Iterator

import jax
import numpy as np
from flax import serialization

from srgan_jax import digests, generators
from srgan_jax.parallel import sharding
from srgan_jax.training.stages import create_stage
from srgan_jax.weights.checkpoints import Checkpoints
from tests.reliability.campaign import Setting
from tests.tiny import make_tiny_config


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Flip one bit."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


DAMAGES = {
    "truncated": lambda data, rng: data[: rng.randrange(len(data))],
    "flipped": flipped,
    "emptied": lambda data, rng: b"",
    "deleted": lambda data, rng: None,
}


def apply_damage(path: pathlib.Path, damage: str, rng: random.Random) -> None:
    """Damage a file that is not empty."""
    data = DAMAGES[damage](path.read_bytes(), rng)
    path.unlink()
    if data is not None:
        path.write_bytes(data)


class Heard(logging.Handler):
    """Collects the package's warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


@contextlib.contextmanager
def hearing() -> Iterator[list[str]]:
    """Give the list of the package's warnings that come during a `with` block, which are not printed."""
    logger, handler = logging.getLogger("srgan_jax"), Heard()
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield handler.sentences
    finally:
        logger.handlers, logger.propagate = before


def new_state(seed: int):
    """Return (config, stage, state) of a tiny SRGAN."""
    config = make_tiny_config(stage="adversarial", losses__adversarial=1e-3, ema_decay=0.9, generator__num_blocks=1)
    stage = create_stage(config)
    return (
        config,
        stage,
        sharding.compile_init(stage.init, sharding.create_mesh(jax.devices()[:1]))(jax.random.key(seed)),
    )


def digest(state: object) -> str:
    return digests.of_variables(jax.device_get(serialization.to_state_dict(state)))


def damage(setting: Setting) -> Iterator[str]:
    """Damage each file of the newest of two checkpoints in each way, in a random order."""
    sound, states = setting.folder / "sound", {}
    config, stage, _ = new_state(0)
    with contextlib.closing(Checkpoints(sound)) as checkpoints:
        for step in (1, 2):
            states[step] = new_state(step)[2]
            generated = stage.generators(states[step])
            checkpoints.save(
                step, states[step], config.to_dict(), generators=generated, scores={"psnr": step}, merit=step
            )
    files = [p.relative_to(sound) for p in sorted((sound / "checkpoints" / "2").rglob("*")) if p.is_file()]
    pairs = [(file, kind) for file in files if (sound / file).stat().st_size for kind in DAMAGES]
    expected = {step: digest(state) for step, state in states.items()}
    shapes, older, same = new_state(9)[2], 0, 0
    as_numpy = {s: digests.of_variables(jax.device_get(stage.generators(t)["generator"])) for s, t in states.items()}
    order: list[tuple[pathlib.Path, str]] = []
    for number in range(setting.tries):
        if not order:
            order = setting.rng.sample(pairs, len(pairs))
        file, kind = order.pop()
        workdir = setting.folder / str(number)
        shutil.copytree(sound, workdir)
        apply_damage(workdir / file, kind, setting.rng)
        what = f"{file} {kind}"
        with hearing() as sentences:
            try:
                loaded = digests.of_variables(generators.load(workdir).variables)
                with contextlib.closing(Checkpoints(workdir)) as checkpoints:
                    step, restored = checkpoints.restore(shapes)
            except Exception as error:
                yield f"{what}: {type(error).__name__}: {error}"
                continue
        named = any("checkpoints/2 is damaged" in sentence for sentence in sentences)
        older, same = older + (step == 1), same + (step == 2)
        if digest(restored) != expected[step]:
            yield f"{what}: the state that came back is none that was saved"
        elif loaded not in as_numpy.values():
            yield f"{what}: the generator that came back is none that was saved"
        elif step == 1 and not named:
            yield f"{what}: the older checkpoint came back, and nothing was said"
        else:
            yield ""
        shutil.rmtree(workdir)
    setting.notes.append(
        f"The older checkpoint came back {older} times. {same} times the damage was in a file that the state does not "
        "need, and the newest came back."
    )


def finite(workdir: pathlib.Path) -> bool:
    """Say whether all checkpoints of a run of new_state's stage are finite."""
    shapes = new_state(9)[2]
    with contextlib.closing(Checkpoints(workdir)) as checkpoints:
        step, state = checkpoints.restore(shapes)
    arrays = jax.tree.leaves(jax.device_get(serialization.to_state_dict(state)))
    return not step or all(np.isfinite(array).all() for array in arrays)
