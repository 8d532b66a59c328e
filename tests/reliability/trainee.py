"""A training of seconds in a process of its own. It prints a digest of every state that it saves or restores.

python -m tests.reliability.trainee WORKDIR CHANGES PAUSE [COORDINATOR COUNT INDEX], where CHANGES is a JSON object of
fields for tiny.make_tiny_config, and PAUSE the seconds to wait before each step.
"""

import json
import sys
import time

import jax
from flax import serialization

from srgan_jax import digests
from srgan_jax.commands.common import report_input_errors
from srgan_jax.parallel import processes, sharding
from srgan_jax.training import loop
from srgan_jax.weights import checkpoints
from tests.tiny import make_tiny_config

HEARTBEAT = 10  # seconds until a process that says nothing counts as lost


def tell(word: str, step: int, state: object) -> None:
    digest = digests.of_variables(jax.device_get(serialization.to_state_dict(state)))
    print(word, step, digest, flush=True)


def patch(pause: float) -> None:
    """Make checkpoints tell what they save and restore, and make each step wait."""
    save, restore, compile_step = checkpoints.Checkpoints.save, checkpoints.Checkpoints.restore, sharding.compile_step

    def telling_save(self, step, state, *arguments, **options):
        tell("saved", step, state)
        return save(self, step, state, *arguments, **options)

    def telling_restore(self, *arguments, **options):
        step, state = restore(self, *arguments, **options)
        if step:
            tell("restored", step, state)
        return step, state

    def compile_slow_step(*arguments, **options):
        step = compile_step(*arguments, **options)

        def run(*inputs):
            time.sleep(pause)
            return step(*inputs)

        return run

    checkpoints.Checkpoints.save, checkpoints.Checkpoints.restore = telling_save, telling_restore
    sharding.compile_step = compile_slow_step


def main() -> None:
    workdir, changes, pause, *group = sys.argv[1:]
    patch(float(pause))
    with report_input_errors():
        if group:
            processes.join(group[0], int(group[1]), int(group[2]), heartbeat=HEARTBEAT)
        loop.train(make_tiny_config(**json.loads(changes)), workdir)


if __name__ == "__main__":
    main()
