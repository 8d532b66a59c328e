"""The page, in Gradio: what is on it, and what happens when somebody uses it."""

import functools
import logging
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from srgan_jax.app import texts
from srgan_jax.app.archives import Archive, Limits, enlarge_archive
from srgan_jax.app.enlarging import Shown, Wishes, as_shown, enlarge_file, load, size_of
from srgan_jax.app.jobs import CancelledError, Job, Progress, Result, Sessions
from srgan_jax.errors import InputError
from srgan_jax.generators import INVENTS
from srgan_jax.images import EXTENSIONS
from srgan_jax.images.montage import as_rgb
from srgan_jax.photos.codecs import read_photo
from srgan_jax.progress import duration

try:
    import gradio as gr
except ImportError:
    raise InputError("the page in the browser needs Gradio: pip install 'srgan-jax[app]'.") from None

THUMBNAIL = 1024  # pixels of the longer side of the photo before it is enlarged
AS_MADE, YES, NO = "as the model was made for", "yes", "no"
CONSISTENT = {AS_MADE: None, YES: True, NO: False}
SCALES = {"as the model does": None, "× 2": 2, "× 3": 3, "× 4": 4, "× 8": 8}

_log = logging.getLogger("srgan_jax")


def create_page(models: Sequence[str], sessions: Sessions, *, limits: Limits) -> gr.Blocks:
    """Build the page.

    Args:
      models: what generators.load takes; the first one is chosen at the beginning.
      sessions: keeps the jobs of whoever opens the page.
      limits: what the page takes.

    Raises:
      InputError: one of the models cannot be loaded.
    """
    for model in models:
        load(model)

    with gr.Blocks(title="srgan_jax", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(
            "# Enlarge photos\nThe photos stay on the computer that serves this page. A photo may have at most "
            f"{limits.megapixels:g} megapixels, and an archive at most {limits.pictures} photos."
        )
        with gr.Row():
            model = gr.Dropdown(list(models), value=models[0], label="Model", info=_about(models[0]), min_width=280)
            scale = gr.Dropdown(list(SCALES), value=next(iter(SCALES)), label="Size of the result", min_width=280)
        with gr.Accordion("More choices", open=False):
            consistent = gr.Radio(
                list(CONSISTENT),
                value=AS_MADE,
                label="Consistent with the photo",
                info="Correct the result until bicubic reduction turns it into the photo again.",
            )
            ensemble = gr.Checkbox(
                label="Average over eight flips and turns", info="This is better, and takes eight times as long."
            )
            metadata = gr.Checkbox(value=True, label="Keep EXIF and XMP", info="They may say where a photo was taken.")
        choices = [model, scale, consistent, ensemble, metadata]
        model.change(lambda name: gr.update(info=_about(name)), model, model, queue=False, api_visibility="private")
        with gr.Tab("One photo"):
            _photo_tab(choices, sessions, limits)
        with gr.Tab("Many photos"):
            _archive_tab(choices, sessions, limits)
        page.unload(_cancel(sessions))
    return page.queue(default_concurrency_limit=1)


def _photo_tab(choices: list, sessions: Sessions, limits: Limits) -> None:
    source = gr.File(label="Drop a photo here", file_types=list(EXTENSIONS), height=140, elem_id="photo")
    preview = gr.Image(label="The photo", interactive=False, visible=False, buttons=[], height=360, format="jpeg")
    work = functools.partial(enlarge_file, megapixels=limits.megapixels)
    begin, cancel, status = _buttons("Enlarge")
    compared = gr.ImageSlider(
        label="Bicubic | result",
        visible=False,
        interactive=False,
        buttons=["fullscreen"],
        elem_id="compared",
        max_height=640,
    )
    download = gr.DownloadButton("Download", visible=False, variant="primary", elem_id="download")
    figures = gr.HTML(elem_id="figures")

    def inspect(path: str | None, *values):
        nothing = {compared: gr.update(visible=False), download: gr.update(visible=False), figures: ""}
        if not path:
            return nothing | {preview: gr.update(visible=False), status: ""}
        try:
            wishes = _wishes(values)
            rows, columns = size_of(path, limits.megapixels)
            photo = read_photo(path)
        except (InputError, OSError, MemoryError) as error:
            return nothing | {preview: gr.update(visible=False), status: texts.wrong(_sentence(error, path))}
        thumbnail = Image.fromarray(as_rgb(as_shown(photo, photo.colour)).copy())
        thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
        said = f"{columns:,} × {rows:,} pixels become {columns * wishes.factor:,.0f} × {rows * wishes.factor:,.0f}"
        seconds = sessions.forecast(wishes.kind, rows * columns)
        said += f", in about {duration(seconds)}." if seconds else "."
        return nothing | {preview: gr.update(value=thumbnail, visible=True), status: texts.note(said)}

    def show(shown: Shown, seconds: float) -> dict:
        rows, columns = shown.size
        part = (
            " The slider shows bicubic interpolation on its left and the result on its right; it zooms as a map does."
        )
        part += "" if shown.whole else " Of this large picture it shows the middle."
        said = f"{shown.path.name}: {columns:,} × {rows:,} pixels, {duration(seconds)}.{part}"
        size = texts.megabytes(shown.path.stat().st_size)
        return {
            status: texts.note(said),
            preview: gr.update(visible=False),
            compared: gr.update(value=(str(shown.before), str(shown.after)), visible=True),
            download: gr.update(value=str(shown.path), label=f"Download {shown.path.name} ({size})", visible=True),
            figures: texts.figures(shown.figures),
        }

    everything = [source, preview, compared, download, figures, status]
    source.change(inspect, [source, *choices], everything, show_progress="hidden", api_visibility="private")
    _connect(begin, cancel, status, source, choices, sessions, work, show, [preview, compared, download, figures])


def _archive_tab(choices: list, sessions: Sessions, limits: Limits) -> None:
    source = gr.File(label="Drop a zip archive of photos here", file_types=[".zip"], height=140, elem_id="archive")
    begin, cancel, status = _buttons("Enlarge all")
    download = gr.DownloadButton("Download", visible=False, variant="primary", elem_id="download-all")
    report = gr.HTML(elem_id="report")
    source.change(
        lambda: {download: gr.update(visible=False), report: "", status: ""},
        None,
        [download, report, status],
        show_progress="hidden",
        api_visibility="private",
    )

    def show(archive: Archive, seconds: float) -> dict:
        size = texts.megabytes(archive.path.stat().st_size)
        good = sum(not line.failed for line in archive.lines)
        said = f"{archive.path.name}: {good} of {len(archive.lines)} files enlarged, {duration(seconds)}."
        return {
            status: texts.note(said),
            download: gr.update(value=str(archive.path), label=f"Download {archive.path.name} ({size})", visible=True),
            report: texts.lines(archive.lines),
        }

    work = functools.partial(enlarge_archive, limits=limits)
    _connect(begin, cancel, status, source, choices, sessions, work, show, [download, report])


def _buttons(label: str) -> tuple[gr.Button, gr.Button, gr.HTML]:
    with gr.Row():
        begin = gr.Button(label, variant="primary")
        cancel = gr.Button("Cancel", variant="stop", visible=False)
    return begin, cancel, gr.HTML()


def _connect(
    begin: gr.Button,
    cancel: gr.Button,
    status: gr.HTML,
    source: gr.File,
    choices: list[gr.components.Component],
    sessions: Sessions,
    work: Callable[[str, str, Wishes, Job[Result]], Result],
    show: Callable[[Result, float], dict],
    others: list[gr.components.Component],
) -> None:
    """Let the buttons start and cancel a job that makes something of the file in `source`."""

    def start(request: gr.Request):
        sessions.expect(request.session_hash)
        return gr.update(visible=False), gr.update(visible=True), texts.note("Waiting for other photos to be done.")

    def run(request: gr.Request, path: str | None, *values):
        ended = {begin: gr.update(visible=True), cancel: gr.update(visible=False)}
        if not path:
            yield ended | {status: texts.wrong("Drop a file first.")}
            return
        with tempfile.TemporaryDirectory(prefix="srgan-app-", ignore_cleanup_errors=True) as folder:
            seconds, wishes = 0.0, _wishes(values)
            try:
                job = functools.partial(work, path, folder, wishes)
                for said in sessions.run(request.session_hash, wishes.kind, job):
                    if isinstance(said, Progress):
                        seconds = said.elapsed
                        yield {status: texts.working(said)}
                    else:
                        yield ended | show(said, seconds)
            except CancelledError:
                yield ended | {status: texts.note("Cancelled.")}
            except Exception as error:
                yield ended | {status: texts.wrong(_sentence(error, path))}

    hidden = {"show_progress": "hidden", "api_visibility": "private"}
    begin.click(start, None, [begin, cancel, status], queue=False, **hidden).then(
        run, [source, *choices], [begin, cancel, status, *others], concurrency_id="device", **hidden
    )
    cancel.click(_cancel(sessions), None, None, queue=False, **hidden)


def _cancel(sessions: Sessions) -> Callable[[gr.Request], None]:
    def cancel(request: gr.Request):
        sessions.cancel(request.session_hash)

    return cancel


def _wishes(values: Sequence[Any]) -> Wishes:
    model, scale, consistent, ensemble, metadata = values
    return Wishes(model, SCALES[scale], CONSISTENT[consistent], ensemble, metadata)


def _about(model: str) -> str:
    """Return what is known of a model, in a few words."""
    generator = load(model)
    known = [f"It enlarges {generator.module.scale} times."]
    if generator.invents:
        known.append(f"It {INVENTS}.")
    if licence := generator.info.get("license"):
        known.append(f"Licence: {licence}.")
    return " ".join(known)


def _sentence(error: Exception, path: str) -> str:
    """Put an error into words; one that nobody expected goes to the log as well."""
    if isinstance(error, InputError):
        return str(error).replace(path, pathlib.Path(path).name)  # not the folder where Gradio keeps the file
    if isinstance(error, MemoryError):
        return "The picture and its enlargement do not fit into the main memory; reduce or crop the picture first."
    _log.error("The page could not enlarge %s", pathlib.Path(path).name, exc_info=error)
    return f"Something unexpected went wrong ({type(error).__name__}); the terminal of the server says more."
