"""What the command-line scripts share."""

import contextlib
import sys

from absl import logging

from srgan_jax.errors import InputError


@contextlib.contextmanager
def report_input_errors():
    """Print bad input and failing files as one sentence and exit with status 2; let defects keep their traceback."""
    logging.set_verbosity(logging.ERROR)  # orbax reports every step that it takes
    try:
        yield
    except (InputError, OSError) as error:
        print(f"{type(error).__name__ if isinstance(error, OSError) else 'Error'}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
