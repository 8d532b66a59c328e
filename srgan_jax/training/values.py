"""The evaluation of a run that learns from arrays of measurements."""

import pathlib
from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from srgan_jax import models
from srgan_jax.data.sources import Source, readable
from srgan_jax.evaluation.values import evaluate_values
from srgan_jax.generators import Generator
from srgan_jax.images import save_image
from srgan_jax.images.heat_map import colours
from srgan_jax.training.logs import Log, NoLog
from srgan_jax.training.stages import Stage
from srgan_jax.training.steps import State
from srgan_jax.upscaling import Upscaler
from srgan_jax.weights.checkpoints import GENERATOR

SAMPLES = 4


def make_value_evaluation(
    config: ConfigDict, stage: Stage, held_out: Source, workdir: pathlib.Path, log: Log | NoLog
) -> Callable[[int, State], dict[str, float] | None]:
    """Build `evaluate(step, state) -> scores` as loop.make_evaluation does, for a source of arrays.

    Scores are those of metrics.values, whatever `config.eval_metrics` says. Samples are the first channels of SR as
    heat maps.
    """
    module = models.create_generator(models.architecture_in(config.to_dict()))
    held_out = readable(held_out, config.eval_images, least=3 * config.scale)

    def evaluate(step, state):
        if not len(held_out):
            return None
        variables = jax.tree.map(lambda array: array.addressable_data(0), stage.generators(state))
        metrics, scores = {}, None
        for generator, arrays in variables.items():
            name, shown = "held_out" + generator.removeprefix(GENERATOR), []

            def keep_sample(stem, sr, hr, ends, name=name, shown=shown):
                if len(shown) < SAMPLES:
                    shown.append(stem)
                    path = workdir / "samples" / name / stem.replace("/", "_") / f"{step:08d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    picture = colours((sr[..., 0] - np.float32(ends.low)), ends.high - ends.low)
                    save_image(path, picture)
                    log.image(step, f"{name}/{stem}", picture)

            upscaler = Upscaler(Generator(module, arrays, name, info={}))
            mean = evaluate_values(upscaler, held_out, on_array=keep_sample)["mean"]
            metrics |= {f"{name}/{metric}": value for metric, value in mean.items()}
            scores = mean if generator == GENERATOR else scores
        log.write(step, metrics)
        log.say(f"step {step}: " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
        return scores

    return evaluate
