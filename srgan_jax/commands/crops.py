"""`python -m srgan_jax.data.crops`: pack a folder or TFDS dataset of pictures into crops that read fast."""

import argparse
import concurrent.futures
import functools
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence

from etils import epath

from srgan_jax.commands.common import add_common_flags, report_input_errors
from srgan_jax.data import crops
from srgan_jax.errors import InputError, install
from srgan_jax.progress import Progress, be_quiet, say


def run_processes(plan: crops.Plan, shards: list[int], *, workers: int) -> None:
    """Write the shards in so many processes of this machine (one: in this one), and show how far they have come."""
    done = plan.count - sum(plan.shard_length(shard) for shard in shards)
    with Progress(plan.count, unit="crop", done=done) as bar:
        if workers == 1:
            for shard in shards:
                bar.update(crops.write_shard(plan, shard))
            return
        context = multiprocessing.get_context("spawn")  # JAX's threads do not survive a fork
        with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
            futures = [pool.submit(crops.write_shard, plan, shard) for shard in shards]
            try:
                for future in concurrent.futures.as_completed(futures):
                    bar.update(future.result())
            except concurrent.futures.process.BrokenProcessPool:
                raise InputError(
                    "a worker process was killed, perhaps for want of memory; "
                    "the same command, with fewer --workers, goes on from the whole shards."
                ) from None
            finally:
                pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which lets whole shards be finished; end when it is killed, lest one wait forever."""

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


def run_beam(plan: crops.Plan, shards: list[int], *, runner: str, options: list[str]) -> None:
    """Write the shards on an engine that Apache Beam knows; `options` are its own command-line options."""
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise InputError(f"--runner needs Apache Beam: {install('beam')}.") from None
    with beam.Pipeline(options=PipelineOptions([f"--runner={runner}", *options])) as pipeline:
        spread = pipeline | beam.Create(shards) | beam.Reshuffle()  # else one worker would get them all
        spread | beam.Map(functools.partial(crops.write_shard, plan))


def run(argv: Sequence[str] | None = None) -> None:
    """Do what the flags say."""
    parser = argparse.ArgumentParser(
        prog="python -m srgan_jax.data.crops",
        description=crops.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--source", required=True, help="folder:DIRECTORY or tfds:NAME")
    add("--out", required=True, help="DATA/NAME: the directory to make; NAME is the dataset's for TFDS")
    add("--size", type=int, required=True, help="pixels per side of a crop, e.g. twice the crop to train on")
    add("--count", type=int, help="crops in all (default: --per-image of every picture)")
    add("--per-image", type=int, default=1, help="the most crops of one picture (default: 1)")
    add("--min-size", type=int, help="leave out pictures whose smaller side has fewer pixels (default: --size)")
    add("--seed", type=int, default=0, help="of which pictures and places are drawn (default: 0)")
    add("--split", default="train", help="of a TFDS source (default: train)")
    add("--data-dir", default="", help="where a TFDS source was prepared (default: TFDS's own)")
    add("--feature", default="image", help="the picture's name in a TFDS source (default: image)")
    add("--channels", type=int, choices=(1, 3), default=3, help="grey or RGB (default: 3)")
    add("--shard-size", type=int, default=1000, help="crops per file (default: 1000)")
    add("--workers", type=int, default=os.cpu_count(), help="processes (default: one per core)")
    add("--runner", help="run on Apache Beam instead: DirectRunner, DataflowRunner, FlinkRunner, SparkRunner …; "
        "further options are Beam's")  # fmt: skip
    add_common_flags(parser)
    arguments, beam_options = parser.parse_known_args(argv)
    if beam_options and not arguments.runner:
        parser.error(f"unrecognized arguments: {' '.join(beam_options)}")
    if arguments.workers < 1:
        raise InputError(f"--workers must be at least 1, got {arguments.workers}.")
    crops.check_out(arguments.out)
    fields = vars(arguments)
    be_quiet(fields.pop("quiet"))
    runner, workers = fields.pop("runner"), fields.pop("workers")
    plan = crops.create_plan(**fields)
    shards = crops.unfinished(plan)
    if shards and runner:
        run_beam(plan, shards, runner=runner, options=beam_options)
    elif shards:
        run_processes(plan, shards, workers=min(workers, len(shards)))
    complete = (plan.directory / "features.json").exists()
    manifest = json.loads((plan.directory / "manifest.json").read_text()) if complete else crops.write_metadata(plan)
    out = epath.Path(plan.out)
    say(f"{plan.directory}: {plan.count} crops in {plan.shards} shards, {len(manifest['skipped'])} pictures left out")
    say(f"--config.data.source=tfds --config.data.path={out.parent} --config.data.name={out.name}")


def main(argv: Sequence[str] | None = None) -> None:
    with report_input_errors():
        run(argv)


if __name__ == "__main__":
    main()
