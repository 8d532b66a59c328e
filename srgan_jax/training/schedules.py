"""Learning rates over the steps of a run."""

import optax
from ml_collections import ConfigDict


def piecewise(config: ConfigDict, num_steps: int) -> optax.Schedule:
    """Multiply `learning_rate` by `decay_factor` at each step of `decay_at` (paper, section 3.2)."""
    del num_steps
    return optax.piecewise_constant_schedule(
        config.learning_rate, {step: config.decay_factor for step in config.decay_at}
    )


def cosine(config: ConfigDict, num_steps: int) -> optax.Schedule:
    """Rise linearly over `warmup_steps`, then fall along a half cosine to zero at the run's last step."""
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.warmup_steps, num_steps)


SCHEDULES = {"piecewise": piecewise, "cosine": cosine}
