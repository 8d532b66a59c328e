"""What the command-line scripts share."""

import contextlib
import os
import sys
import threading

from absl import logging

from srgan_jax.errors import InputError, Interrupted, NonFiniteError

# Exit statuses: bad input 2, as argparse has it; a run that diverged 1; a run that was told to stop 128 + SIGTERM.
STATUSES = {InputError: 2, OSError: 2, NonFiniteError: 1, Interrupted: 143}


def add_process_flags(parser):
    """What processes.join takes, for scripts that divide their work over processes."""
    group = parser.add_argument_group("several processes, which divide the pictures")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, where no launcher tells it")
    group.add_argument("--processes", type=int, metavar="N", help="how many there are, where no launcher tells it")
    group.add_argument("--process", type=int, metavar="I", help="which of them this is, from 0")


@contextlib.contextmanager
def report_input_errors():
    """Print what a user can mend as one sentence and exit with its status; let defects keep their traceback."""
    logging.set_verbosity(logging.ERROR)  # orbax reports every step that it takes
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except tuple(STATUSES) as error:
        status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
        print(error if isinstance(error, Interrupted) else f"Error: {error}", file=sys.stderr)
        if any(thread.name.startswith("srgan-data") for thread in threading.enumerate()):
            sys.stdout.flush()
            os._exit(status)  # a thread waits for a picture that does not come, and Python would wait for the thread
        raise SystemExit(status) from None
