"""What a run writes down: metrics.jsonl, TensorBoard files, a progress bar."""

import json
import math
import pathlib

import tqdm
from tensorboardX import SummaryWriter

from srgan_jax.files import replace_text


class Log:
    """Metrics of a run, appended to WORKDIR/metrics.jsonl (one JSON object per line) and WORKDIR/tensorboard."""

    def __init__(self, workdir, *, start: int, stop: int):
        workdir = pathlib.Path(workdir)
        drop_lines_after(workdir / "metrics.jsonl", start)
        self._jsonl = (workdir / "metrics.jsonl").open("a", encoding="utf-8")
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)
        self._bar = tqdm.tqdm(initial=start, total=stop, unit="step", dynamic_ncols=True, smoothing=0.05)

    def advance(self) -> None:
        """One more step is done."""
        self._bar.update()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Record metrics at a step."""
        # JSON has no infinity: identical pictures have a PSNR of null.
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._jsonl.write(json.dumps({"step": step, **finite}) + "\n")
        self._jsonl.flush()
        for name, value in metrics.items():
            self._board.add_scalar(name, value, step)

    def show(self, metrics: dict[str, float]) -> None:
        """Put numbers behind the progress bar."""
        self._bar.set_postfix_str("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))

    def image(self, step: int, name: str, image) -> None:
        """Add uint8 [H, W, C] to TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")

    def say(self, text: str) -> None:
        """Print a line without disturbing the progress bar."""
        self._bar.write(text)

    def close(self) -> None:
        """Flush and close everything."""
        self._bar.close()
        self._board.close()
        self._jsonl.close()


class NoLog:
    """The log of all processes but the first."""

    def advance(self):
        """Does nothing, like the rest."""

    def write(self, step, metrics): ...

    def show(self, metrics): ...

    def image(self, step, name, image): ...

    def say(self, text): ...


def drop_lines_after(path: pathlib.Path, step: int) -> None:
    """Forget what a run logged beyond the checkpoint that it goes on from, and a last line cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            continue
    replace_text(path, "".join(kept))
