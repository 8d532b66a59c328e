"""What the command-line scripts share."""

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator

from srgan_jax import __version__
from srgan_jax.errors import InputError, Interrupted, NonFiniteError, install, printable

# Exit statuses: bad input 2, as argparse has it; a run that diverged 1; a run that was told to stop 128 + SIGTERM.
STATUSES = {InputError: 2, OSError: 2, NonFiniteError: 1, Interrupted: 143}


# The extra that brings a package which the core lacks.
EXTRAS = dict.fromkeys(("ml_collections", "optax", "orbax", "skimage", "tensorboardX", "tensorflow_datasets"), "train")
EXTRAS |= {"jinja2": "eval", "gradio": "app", "huggingface_hub": "hub", "starlette": "study", "uvicorn": "study"}
EXTRAS |= dict.fromkeys(("choix", "krippendorff", "markdown_it", "statsmodels"), "study")


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add the flag --version, and where shtab is installed --print-completion, with which a shell completes flags."""
    parser.add_argument(
        "--version", action="version", version=f"srgan_jax {__version__}", help="print the version and end"
    )
    with contextlib.suppress(ImportError):
        import shtab

        parser.add_argument(
            "--print-completion",
            action=_PrintCompletion,
            choices=shtab.SUPPORTED_SHELLS,
            default=argparse.SUPPRESS,
            help="print a script that makes this shell complete the flags",
        )


class _PrintCompletion(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str,
        option_string: str | None = None,
    ) -> None:
        import shtab

        print(shtab.complete(parser, values))
        parser.exit()


def add_common_flags(parser: argparse.ArgumentParser) -> None:
    """Add --quiet, and what add_version adds."""
    parser.add_argument("--quiet", action="store_true", help="show no progress, and print only errors and warnings")
    add_version(parser)


def add_process_flags(parser: argparse.ArgumentParser) -> None:
    """Add what processes.join takes, for scripts that divide their work over processes."""
    group = parser.add_argument_group("several processes, which divide the pictures")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, where no launcher tells it")
    group.add_argument("--processes", type=int, metavar="N", help="how many there are, where no launcher tells it")
    group.add_argument("--process", type=int, metavar="I", help="which of them this is, from 0")


def _sentence(error: Exception) -> str:
    """Put an error into words: the system's errors by the file that they are about, without their numbers."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return printable(f"{error.filename}: cannot be read or written ({error.strerror}).")
    return str(error)


def quiet_absl() -> None:
    """Keep absl's log from the terminal: orbax reports every step there, and each error with its traceback."""
    with contextlib.suppress(ImportError):
        import absl.logging

        absl.logging.set_verbosity(absl.logging.FATAL)


class _Sentences(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(f"Warning: {printable(record.getMessage())}", file=sys.stderr)


@contextlib.contextmanager
def _warnings_in_sentences() -> Iterator[None]:
    """Print the warnings of this package one a line, whatever level absl has given to the other loggers."""
    logger, handler = logging.getLogger("srgan_jax"), _Sentences(logging.WARNING)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    # The error that is raised says what is wrong, with a picture or with a disk. What is logged beside it need not be
    # seen: readers' remarks on the way, and asyncio's tracebacks of further writes of a checkpoint that failed.
    for name in ("PIL", "tifffile", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _ignore_closed_loops() -> None:
    """Keep from the terminal what tensorstore's threads report, to the end, after a checkpoint could not be saved.

    Each of its pending writes then finds that orbax has closed the event loop. The error that matters is raised anyway.
    """

    def report(kind, error, trace):
        if not (kind is RuntimeError and str(error) == "Event loop is closed"):
            sys.__excepthook__(kind, error, trace)

    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = report


_AGAIN = 3.0  # seconds


@contextlib.contextmanager
def _hearing_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end a program wherever it is.

    Python forgets the exception that comes in a callback of the garbage collector, and packages that are being imported
    may make another one of it. So it is raised once more after a while, and every exception after it counts as it.
    """
    if (
        not hasattr(signal, "pthread_kill")  # Windows
        or threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    came = []

    def interrupt(number: int, frame: object) -> None:
        came.append(number)
        # To the main thread, which may be sleeping.
        again = threading.Timer(_AGAIN, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
        again.daemon = True
        again.start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception:
        if came:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if came else signal.default_int_handler)


@contextlib.contextmanager
def report_input_errors() -> Iterator[None]:
    """Print what a user can mend as one sentence and exit with its status; let defects keep their traceback."""
    quiet_absl()
    _ignore_closed_loops()
    try:
        with _warnings_in_sentences(), _hearing_ctrl_c():
            yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        print(f"Error: this needs {package}: {install(EXTRAS[package])}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except tuple(STATUSES) as error:
        status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
        print(error if isinstance(error, Interrupted) else f"Error: {_sentence(error)}", file=sys.stderr)
        if any(thread.name.startswith("srgan-data") for thread in threading.enumerate()):
            sys.stdout.flush()
            os._exit(status)  # a thread waits for a picture that does not come, and Python would wait for the thread
        raise SystemExit(status) from None
