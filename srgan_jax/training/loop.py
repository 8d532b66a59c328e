"""The training loop: step, log, evaluate, save. It knows no loss."""

import collections
import contextlib
import itertools
import json
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from srgan_jax import evaluation, models, trees
from srgan_jax.cpu.memory import return_freed_memory
from srgan_jax.data.fingerprint import check_same_on_all_processes, check_unchanged, fingerprint
from srgan_jax.data.loader import CropLoader
from srgan_jax.data.prefetching import prefetch
from srgan_jax.data.sources import Source, create_source, hold_out, readable
from srgan_jax.errors import InputError, Interrupted, NonFiniteError
from srgan_jax.files import locked, replace_text
from srgan_jax.generators import Generator
from srgan_jax.images import save_image
from srgan_jax.metrics import METRICS, make_scorers
from srgan_jax.parallel import processes, sharding
from srgan_jax.progress import duration
from srgan_jax.training import stages
from srgan_jax.training.loggers import select_loggers
from srgan_jax.training.logs import Log, NoLog
from srgan_jax.training.memory import memory_note
from srgan_jax.training.steps import State
from srgan_jax.training.values import make_value_evaluation
from srgan_jax.types import Terms
from srgan_jax.upscaling import Upscaler
from srgan_jax.weights.checkpoints import GENERATOR, Checkpoints

NEWEST = "newest"  # in place of a metric's name: no checkpoint is better than the newest

# What stands behind the progress bar.
SHOWN = ("g/loss", "d/real", "d/fake", "images_per_second")


def train(config: ConfigDict, workdir: str | pathlib.Path) -> None:
    """Train the stage that `config` describes, going on from the newest checkpoint in `workdir`.

    Writes WORKDIR/config.json, pictures.json, metrics.jsonl, samples/, checkpoints/, and what the loggers write
    (config.loggers), such as tensorboard/.

    Raises:
      InputError: a field, file or directory is not what it should be.
      NonFiniteError: the run diverged; nothing non-finite is saved.
      Interrupted: a signal came; the state is saved, and the same call goes on from it.
    """
    workdir = pathlib.Path(workdir)
    mesh = sharding.create_mesh()
    sharding.check_batch_size(config.batch_size, mesh, accumulate=config.accumulate)
    loggers = select_loggers(config.loggers)
    stage = stages.create_stage(config)
    training, held_out = hold_out(create_source(config.data, channels=config.channels), config.data.holdout)
    loader = CropLoader(
        training,
        batch_size=config.batch_size,
        crop_size=config.data.crop_size,
        scale=config.scale,
        seed=config.seed,
        sampling=config.data.sampling,
        augment=config.data.augment,
        cache_mb=config.data.cache_mb,
    )
    evaluation_sets = [] if config.data.source == "arrays" else create_evaluation_sets(config, held_out)

    with contextlib.ExitStack() as stack:
        workdir.mkdir(parents=True, exist_ok=True)
        if processes.is_first():
            stack.enter_context(locked(workdir))
        pictures = fingerprint(training)
        check_same_on_all_processes(json.loads(config.to_json()), pictures)
        checkpoints = stack.enter_context(contextlib.closing(Checkpoints(workdir, keep_last=config.keep_last)))
        key = jax.random.key(config.seed)
        placement = sharding.of_state(jax.eval_shape(stage.init, key), mesh, split_optimizer=config.optimizer.sharded)
        state = sharding.compile_init(stage.init, mesh, placement)(key)
        start, state = checkpoints.restore(state, check=stage.check)
        if not start and config.init_from:
            state = jax.device_put(stage.adopt(state), placement)
        if processes.is_first():
            write_config(workdir, config)
            if not start and (warning := warning_of_start(config)):
                print(f"Warning: {warning}", file=sys.stderr)
            if changed := check_unchanged(workdir / "pictures.json", pictures):
                print(f"Warning: {changed}. Pictures held out of training may have been trained on.", file=sys.stderr)
        frozen = jax.device_put(stage.frozen, sharding.replicated(mesh))
        step_fn = sharding.compile_step(stage.step, mesh, seed=config.seed, placement=placement)

        log = NoLog()
        if processes.is_first():
            log = Log(workdir, start=start, stop=config.num_steps, loggers=loggers, config=json.loads(config.to_json()))
            stack.enter_context(contextlib.closing(log))
        if config.data.source == "arrays":
            evaluate = make_value_evaluation(config, stage, held_out, workdir, log)
        else:
            evaluate = make_evaluation(config, stage, evaluation_sets, workdir, log)
        stop_signal = stack.enter_context(catch_stop_signals())
        batches = stack.enter_context(
            contextlib.closing(
                prefetch(
                    loader,
                    start,
                    config.num_steps,
                    shard=(jax.process_index(), jax.process_count()),
                    workers=config.data.workers,
                    depth=config.data.prefetch,
                    place=lambda batch, step: sharding.place_batch(stage.prepare(batch, step), mesh=mesh),
                    interrupted=stop_signal if jax.process_count() == 1 else lambda step: None,
                )
            )
        )
        if start < config.num_steps:
            device = f"{mesh.size} x {mesh.devices.flat[0].device_kind}"
            log.say(f"{workdir}: steps {start} to {config.num_steps} on {device}")
            if note := memory_note(config, mesh.size):
                log.say(note)
        else:
            log.say(f"{workdir}: all {config.num_steps} steps are done; a larger num_steps would train on.")
        window, saved, begun = Window(config.batch_size), start, time.perf_counter()

        def save(done, state, scores=None):
            checkpoints.save(
                done,
                state,
                config.to_dict(),
                generators=stage.generators(state),
                scores=scores,
                merit=merit_of(config, scores),
            )
            return done

        for step, batch, waited in batches:
            if batch is None:  # a signal came, and this step's pictures do not
                saved = save(step, state) if step > saved else saved
                raise interruption(step, stop_signal(step))
            state, metrics = step_fn(state, batch, frozen, np.int32(step))
            window.add(metrics, waited)
            log.advance()
            done, stopping = step + 1, stop_signal(step)
            if (done - start).bit_count() == 1:  # after 1, 2, 4, 8, … steps
                return_freed_memory()
            log_due, evaluate_due, save_due = (
                every and (done % every == 0 or done == config.num_steps)
                for every in (config.log_every, config.eval_every, config.save_every)
            )
            if log_due or evaluate_due or save_due or stopping:
                means = window.close(done) | {"g/learning_rate": float(stage.learning_rate(step))}
                log.write(done, means)
                log.show({name: means[name] for name in SHOWN if name in means})
            scores = None
            if evaluate_due:
                scores = evaluate(done, state)
                window.restart_clock()
            if save_due or stopping:
                saved = save(done, state, scores)
                window.restart_clock()
            if stopping and done < config.num_steps:
                raise interruption(done, stopping)
        if start < config.num_steps:
            log.done(f"{workdir}: {config.num_steps - start} steps in {duration(time.perf_counter() - begun)}")


def warning_of_start(config: ConfigDict) -> str | None:
    """Return what a user is to know before a new run begins."""
    if config.stage != "adversarial" or config.init_from:
        return None
    return (
        "this adversarial run starts from an untrained generator; the paper starts from a trained SRResNet, which "
        "config.init_from names (a run, or srresnet-x4)."
    )


def interruption(step: int, signal_name: str) -> Interrupted:
    """Return what a run raises that was told to stop, once its state is saved."""
    return Interrupted(f"stopped at step {step} by {signal_name}; the same command goes on from there.")


class Window:
    """Metrics of the steps since the last report. Lets one step be under way while the next is prepared."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._metrics, self._waited, self._start = [], 0.0, time.perf_counter()

    def add(self, metrics: Terms, waited: float) -> None:
        self._metrics.append(metrics)
        self._waited += waited
        if len(self._metrics) > 1:
            jax.block_until_ready(self._metrics[-2])

    def restart_clock(self) -> None:
        self._start = time.perf_counter()

    def close(self, step: int) -> dict[str, float]:
        """Return the means over the window, which starts anew.

        Raises:
          NonFiniteError: a value of the window is not finite.
        """
        steps = jax.device_get(self._metrics)
        elapsed = time.perf_counter() - self._start
        means = {}
        for name in steps[0]:
            values = np.array([metrics[name] for metrics in steps], np.float64)
            if not np.isfinite(values).all():
                first = step - len(values) + 1 + int(np.argmin(np.isfinite(values)))
                value = values[~np.isfinite(values)][0]
                raise NonFiniteError(f"{name} is {value} at step {first}; nothing of it is saved.")
            means[name] = float(values.mean())
        means["images_per_second"] = self._batch_size * len(steps) / elapsed
        means["data/wait_share"] = min(1.0, self._waited / elapsed)
        self._metrics, self._waited = [], 0.0
        self.restart_clock()
        return means


def create_evaluation_sets(config: ConfigDict, held_out: Source) -> list[evaluation.EvaluationSet]:
    """Return `config.eval_data`, or else the pictures held out of training."""
    if config.eval_data:
        sets = evaluation.parse_sets(config.eval_data.split(","), scale=config.scale)
    else:
        held_out = readable(held_out, config.eval_images, least=config.scale)
        sets = [evaluation.source_set("held_out", held_out, scale=config.scale)] if len(held_out) else []
    return [evaluation.limited(pairs, config.eval_images) for pairs in sets]


def metric_names(config: ConfigDict) -> list[str]:
    """Return the rows of metrics.METRICS that a run evaluates; an InputError if the best one is not among them."""
    names = [name for name in config.eval_metrics.split(",") if name]
    if config.best_metric not in ("", NEWEST, *names):
        raise InputError(
            f"config.best_metric={config.best_metric!r} is not evaluated; it must be one of config.eval_metrics "
            f"({config.eval_metrics}), or {NEWEST!r}."
        )
    return names


def merit_of(config: ConfigDict, scores: dict[str, float] | None) -> float | None:
    """Return how good a checkpoint is by the run's metric, the higher the better; None if nothing is to choose.

    The PSNR of a GAN falls while its pictures get better. So an adversarial run has no best checkpoint but its newest
    one, unless it names a metric.
    """
    metric = config.best_metric or (NEWEST if config.stage == "adversarial" else "psnr")
    return METRICS[metric].merit(scores[metric]) if scores and metric in scores else None


def make_evaluation(
    config: ConfigDict, stage: stages.Stage, sets: Sequence[evaluation.EvaluationSet], workdir: pathlib.Path, log: Log
) -> Callable[[int, State], dict[str, float] | None]:
    """Build `evaluate(step, state) -> {metric: mean over the sets}` (None without sets), which logs and saves samples.

    Every generator of the stage is scored; the sets of a running average are called NAME_ema. The scores returned are
    those of the trained generator itself.
    """
    scorers = make_scorers(metric_names(config))
    module = models.create_generator(models.architecture_in(config.to_dict()))

    def evaluate(step, state):
        if not sets:
            return None
        # One device computes: the batch of one picture has nothing to split.
        variables = jax.tree.map(lambda array: array.addressable_data(0), stage.generators(state))
        metrics, scores = {}, collections.defaultdict(list)
        for generator, pairs in itertools.product(variables, sets):
            name = pairs.name + generator.removeprefix(GENERATOR)

            def keep_sample(stem, lr, sr, hr, name=name, stems=pairs.stems[:4]):
                if stem in stems:
                    path = workdir / "samples" / name / stem.replace("/", "_") / f"{step:08d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    save_image(path, sr)
                    log.image(step, f"{name}/{stem}", sr)

            upscaler = Upscaler(Generator(module, variables[generator], name, info={}))
            mean = evaluation.evaluate(upscaler, pairs, metrics=scorers, on_image=keep_sample)["mean"]
            matlab = mean.pop("matlab", {})  # luma alone is compared
            metrics |= {f"{name}/{metric}_y": value for metric, value in matlab.items()}
            metrics |= {f"{name}/{metric}": value for metric, value in mean.items()}
            if generator == GENERATOR:
                for metric, value in (matlab | mean).items():
                    scores[metric].append(value)
        log.write(step, metrics)
        log.say(f"step {step}: " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
        return {metric: float(np.mean(values)) for metric, values in scores.items()}

    return evaluate


def write_config(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Write the resolved config; where another is there already, say what has changed since."""
    path = workdir / "config.json"
    new = json.loads(config.to_json())
    if path.exists():
        old = trees.flat(json.loads(path.read_text(encoding="utf-8")), ".")
        for name, value in trees.flat(new, ".").items():
            if old.get(name) != value:
                print(f"config.{name}: was {old.get(name)!r} when this run last started, is {value!r} now")
    replace_text(path, json.dumps(new, indent=2) + "\n")


@contextlib.contextmanager
def catch_stop_signals() -> Iterator[Callable[[int], str | None]]:
    """Keep signals from ending the program: the yielded function of the step names the one that came, or None.

    With one process, SIGTERM and SIGINT. With several, SIGTERM, which may come to one of them alone: JAX lets all agree
    on a step to stop after.
    """
    came = []
    if jax.process_count() > 1:
        yield lambda step: "SIGTERM" if multihost_utils.reached_preemption_sync_point(step) else None
        return
    previous = {n: signal.signal(n, lambda number, frame: came.append(number)) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda step: signal.Signals(came[0]).name if came else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
