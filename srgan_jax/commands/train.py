"""`srgan-train`, which `train.py` is too: train SRResNet or SRGAN.

python train.py --config configs/srresnet_mse.py --workdir runs/srresnet_mse --config.data.source=folder \
    --config.data.path=PHOTOS --config.num_steps=100000

Any field of configs/base.py can be overridden as --config.FIELD=VALUE. The same command goes on from the newest
checkpoint in the work directory.
"""

import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from srgan_jax.commands.common import report_input_errors
from srgan_jax.configs import base
from srgan_jax.errors import InputError, nearest_name

CONFIG = config_flags.DEFINE_config_file("config", None, "File with get_config(), such as configs/srgan_vgg54.py.")
WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run: checkpoints, logs, samples.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where no launcher tells it.")
PROCESSES = flags.DEFINE_integer("processes", None, "How many processes there are, where no launcher tells it.")
PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0.")


def field_names(config, prefix=""):
    """Every field of a config with its path: "batch_size", "data.path", …"""
    for name, value in config.items():
        yield prefix + name
        if isinstance(value, ml_collections.ConfigDict):
            yield from field_names(value, f"{prefix}{name}.")


def check_field_names(argv):
    """Raise an InputError for the first unknown field; the nearest one may be in another part of the config."""
    known = list(field_names(base.get_config()))
    for word in argv:
        name = word.partition("=")[0].removeprefix("--config.")
        if word.startswith("--config.") and name not in known:
            raise InputError(f"--config.{name}: no such field; {nearest_name(name, known)}")


def parse_flags(argv):
    """absl's parsing, with every error reported like other bad input."""
    flags.mark_flags_as_required(["config", "workdir"])
    try:
        rest = flags.FLAGS(argv)
        CONFIG.value.lock()  # the first use raises what went wrong in the config's file
        return rest
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        check_field_names(argv)
        while error.args and isinstance(error.args[0], Exception):
            error = error.args[0]  # ml_collections wraps the one that says what is wrong
        text = str(error.args[0] if error.args else error)
        if "Traceback" in text:  # of the config's own error, whose sentence comes last
            text = text.strip().splitlines()[-1].partition(": ")[2]
        raise InputError(" ".join(text.split())) from None


def run(argv):
    """Do what the flags say."""
    # These import JAX: only once the flags are known to be right.
    from srgan_jax import cpu
    from srgan_jax.parallel import processes
    from srgan_jax.training import loop

    cpu.keep_freed_memory()
    logging.set_verbosity(logging.ERROR)  # absl's own start has set it back
    if len(argv) > 1:
        raise InputError(f"unexpected argument {argv[1]!r}; flags look like --config.batch_size=32.")
    processes.join(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    loop.train(CONFIG.value, WORKDIR.value)


def main():
    with report_input_errors():
        app.run(run, flags_parser=parse_flags)


if __name__ == "__main__":
    main()
