"""The model card of a generator, made from its release's header: what the Hugging Face Hub shows of it, and reads."""

import json
import re
from typing import Any

from srgan_jax.errors import InputError

_BODY = """# {name}

This generator of srgan_jax enlarges pictures {scale} times. Its network is `{network}`, for {channels} channels.

## Use

```python
import srgan_jax
from PIL import Image

model = srgan_jax.load("hf://{repository}")
model.upscale(Image.open("photo.jpg")).save("large.png")
```

On the command line this is `srgan-upscale photo.jpg -o large.png --ckpt hf://{repository}`. Both need `pip install
"srgan-jax[hub]"`.

## Scores

{scores}

## Training

{training}

## Limits

{limits} It knows only pictures like those that it was trained on. Do not use it where a picture serves as evidence, as
in medicine, forensics or science, nor to tell who or what is in a picture.

## Licence

{licence}
"""

_LIMITS = {
    "adversarial": "The network invents detail that looks plausible and need not have been there.",
    "content": "The network was trained for the least error, so that it leaves smooth what cannot be known.",
}
_UNKNOWN = "What the network does to a picture depends on its training."


def model_card(repository: str, architecture: dict[str, Any], info: dict[str, Any]) -> str:
    """Write the model card of a generator.

    Args:
      repository: "USER/NAME".
      architecture: what models.create_generator takes.
      info: what is known of the training, the evaluation and the licence; see release.write_release.

    Returns:
      Markdown that begins with the metadata as YAML.

    Raises:
      InputError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError:
        raise InputError("a model card needs huggingface_hub: pip install 'srgan-jax[hub]'.") from None
    config, licence = info.get("config", {}), info.get("license")
    rows = _scores(info.get("evaluation", {}))
    task = {"task_type": "image-to-image", "task_name": f"super-resolution ×{architecture['scale']}"}
    known = isinstance(licence, str) and re.fullmatch(r"[a-z0-9.-]+", licence)  # such as "apache-2.0"
    data = ModelCardData(
        library_name="srgan_jax",
        pipeline_tag="image-to-image",
        tags=["super-resolution", "image-super-resolution", "jax", "flax", architecture["network"]],
        license=(licence if known else "other") if licence else None,
        license_name=None if known or not licence else "see-model-card",
        model_name=repository.split("/")[-1],
        eval_results=[
            EvalResult(
                **task,
                dataset_type=re.sub(r"[^a-z0-9]+", "-", dataset.lower()),
                dataset_name=dataset,
                metric_type=metric,
                metric_name=" ".join(filter(None, (protocol, metric))),
                metric_value=value,
            )
            for dataset, protocol, metric, value in rows
        ],
    )
    body = _BODY.format(
        name=repository.split("/")[-1],
        repository=repository,
        **{key: architecture[key] for key in ("scale", "network", "channels")},
        scores=_table(rows),
        training=_training(config, info.get("step")),
        limits=_LIMITS.get(config.get("stage"), _UNKNOWN),
        licence=f"{licence}".strip().rstrip(".") + "." if licence else "Its author has not stated a licence.",
    )
    return f"---\n{data.to_yaml().strip()}\n---\n\n{body}"


def _scores(evaluation: dict[str, Any]) -> list[tuple[str, str, str, float]]:
    """Return (set, protocol or "", metric, mean) of an entry "evaluation", in its order."""
    rows = []
    for dataset, scores in evaluation.get("datasets", {}).items():
        for name, value in scores["mean"].items():
            inner = value.items() if isinstance(value, dict) else [(name, value)]
            protocol = name if isinstance(value, dict) else ""
            rows += [(dataset, protocol, metric, mean) for metric, mean in inner if isinstance(mean, int | float)]
    return rows


def _table(rows: list[tuple[str, str, str, float]]) -> str:
    if not rows:
        return "It was not evaluated."
    columns = list(dict.fromkeys((protocol, metric) for _, protocol, metric, _ in rows))
    values = {(dataset, protocol, metric): f"{value:.4g}" for dataset, protocol, metric, value in rows}
    lines = [["set", *(" ".join(filter(None, column)) for column in columns)], ["---"] * (1 + len(columns))]
    for dataset in dict.fromkeys(row[0] for row in rows):
        lines.append([dataset, *(values.get((dataset, *column), "–") for column in columns)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _training(config: dict[str, Any], step: int | None) -> str:
    if not config:
        return "Nothing is recorded of its training."
    said = f"{step:,} updates" if step else "Updates"
    said += f" of {config.get('batch_size', '?')} crops each, with this config:"
    return f"{said}\n\n<details>\n\n```json\n{json.dumps(config, indent=2)}\n```\n\n</details>"
