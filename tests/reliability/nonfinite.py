"""Numbers that are not finite, put into the state of a training."""

import contextlib
import io
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from srgan_jax import trees
from srgan_jax.errors import NonFiniteError
from srgan_jax.parallel import sharding
from srgan_jax.training import loop
from srgan_jax.weights.checkpoints import Checkpoints
from tests.reliability.campaign import Setting
from tests.reliability.checkpoints import new_state
from tests.reliability.programs import saved_steps
from tests.tiny import make_tiny_config

VALUES = (np.nan, np.inf, -np.inf)


def poisoned(state, setting: Setting):
    """Return (the state with one number that is not finite, the name of its array)."""
    tree = jax.device_get(serialization.to_state_dict(state))
    flat = {key: np.array(array) for key, array in trees.flat(tree).items()}
    key = setting.rng.choice([key for key in sorted(flat) if flat[key].dtype.kind == "f"])
    flat[key].flat[setting.rng.randrange(flat[key].size)] = setting.rng.choice(VALUES)
    nested: dict = {}
    for name, array in flat.items():
        *path, leaf = name.split("/")
        inner = nested
        for part in path:
            inner = inner.setdefault(part, {})
        inner[leaf] = array
    return serialization.from_state_dict(state, _with_empty(tree, nested)), key


def _with_empty(tree, nested):
    """Add the empty tables of a tree, which have no arrays."""
    if not isinstance(tree, dict):
        return nested
    return {key: _with_empty(value, nested.get(key, {})) for key, value in tree.items()}


def nonfinite(setting: Setting) -> Iterator[str]:
    """Put a NaN or an infinite value into an array before a save, and into a state or a loss while a run goes on."""
    config, stage, state = new_state(1)
    with contextlib.closing(Checkpoints(setting.folder / "saves")) as checkpoints:
        for number in range(setting.tries):
            if number % 5 == 4:
                yield _during_a_run(setting, number)
                continue
            bad, key = poisoned(state, setting)
            try:
                checkpoints.save(number + 1, bad, config.to_dict(), generators=stage.generators(bad))
                yield f"{key} was saved"
            except NonFiniteError as error:
                yield "" if str(error).startswith(key) else f"{key} was refused, but the message is: {error}"
    if saved_steps(setting.folder / "saves"):
        yield f"checkpoints were written: {saved_steps(setting.folder / 'saves')}"


def _during_a_run(setting: Setting, number: int) -> str:
    """Let the step of a run return something that is not finite at a random step."""
    bad_step, in_loss, seen = setting.rng.randrange(1, 5), setting.rng.random() < 0.5, []

    def compile_step(step, mesh, *, seed, placement):
        def run(state, batch, frozen, index):
            seen.append(index)
            loss = jnp.float32(1)
            if len(seen) == bad_step:
                if in_loss:
                    loss = jnp.float32(setting.rng.choice(VALUES))
                else:
                    state, _ = poisoned(state, setting)
            return state, {"g/loss": loss}

        return run

    workdir, original = setting.folder / f"run{number}", sharding.compile_step
    config = make_tiny_config(
        stage="adversarial",
        losses__adversarial=1e-3,
        generator__num_blocks=1,
        num_steps=5,
        save_every=1,
        data__holdout=0.0,
    )
    sharding.compile_step = compile_step
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            loop.train(config, workdir)
        return f"step {bad_step}: the run went on"
    except NonFiniteError:
        late = [step for step in saved_steps(workdir) if step >= bad_step]
        return f"step {bad_step}: checkpoints {late} were saved" if late else ""
    finally:
        sharding.compile_step = original
