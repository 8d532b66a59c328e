"""docs/baselines.md, its drawing and the cards of shipped baselines, made from what train_baselines has measured."""

import json
import pathlib

from scripts.paper import PAPER, SETS
from srgan_jax.evaluation import Table
from srgan_jax.evaluation.drawing import scatter
from srgan_jax.files import replace_text

# The methods of the page, in the order of the paper's table 2 and then by year; and the paper's own names of them.
TITLES = {
    "nearest": "nearest",
    "bicubic": "bicubic",
    "srcnn": "SRCNN",
    "selfexsr": "SelfExSR",
    "drcn": "DRCN",
    "espcn": "ESPCN",
    "srresnet": "SRResNet",
    "vdsr": "VDSR",
    "edsr": "EDSR-baseline",
}
PRINTED = {"srresnet": "srresnet_mse"} | {name: title for name, title in TITLES.items() if title in PAPER}

PAGE = """# The paper's Table 2, under one roof

The SRGAN paper compares with SRCNN, SelfExSR, DRCN and ESPCN, and the field also with VDSR and EDSR. Each of these
networks is one file in `srgan_jax/models/`, and this page compares them with SRResNet after the same training: the
common recipe of `configs/baselines.py`, which is the same for all in pictures, crops, batches, optimizer, schedule and
time. They trained for {hours:.2f} hours in all, on {machine}.
{remark}Written by:

```
python -m scripts.train_baselines --machine … --photos PHOTOS --data {data} \\
    --hours 1.65 --metrics psnr,ssim,lpips_alex --ship
```

The papers trained for days or weeks on GPUs, so the printed scores are higher. What this page shows is what each
network has made of the same hours. The configs `NETWORK_paper` of the same file are the papers' own recipes; they have
not been run. DRCN has 64 feature maps here and not the paper's 256.

## Table 2: as printed and as measured

PSNR (dB) / SSIM under the protocol `paper` ([evaluation.md](evaluation.md)). SelfExSR is no network; its published
pictures are scored where they are at hand.

{table_2}

## More measures

PSNR and SSIM under the protocol `matlab`, and LPIPS (AlexNet), which is lower where pictures look more alike.

{measures}

## What they cost

GFLOP counts multiplications and additions of the convolutions for a result of 1280 × 720 pixels, and s/picture is how
long such a result took on the machine named above, once.

{costs}

## PSNR over training hours

![PSNR of held-out pictures over the hours of training](baselines.svg)
"""

CARD = """# {name}

{title}, ×4, for luma; the colour is enlarged bicubically: `srgan_jax.load("{name}")`, `python upscale.py … --ckpt
{name}`. It is here to compare with; for enlarging photos take srgan-x4 or srresnet-x4.

- **Learned from** {pictures}.
  Of these, 2 % were held out. None is in the evaluation sets. LR pictures are their bicubic reductions.
- **Recipe**: `configs/baselines.py:{network}_common`, run by `scripts/train_baselines.py`; {updates:,} updates.
- **Machine**: {machine}; {hours:.2f} hours of computing.
- **File**: float16, {size:.2f} MB; computes in float32. SHA-256 of the arrays `{sha256}`.

| PSNR (dB) / SSIM | {columns} |
|---|{rules}|
| `paper` | {paper} |
| `matlab` | {matlab} |

**Limits.** It was trained for the least squared error: what cannot be known is left smooth. Not for medical, forensic
or scientific pictures, nor for telling who or what is in one.

**Licence.** The photographs behind these weights were published for research, most without a stated licence. So the
weights are for research use too; the Apache licence of the code does not cover them.
"""


def pair(scores: dict | None) -> str:
    """Return PSNR and SSIM as the paper prints them."""
    return f"{scores['psnr']:.2f} / {scores['ssim']:.4f}".replace("/ 0.", "/ .") if scores else ""


def table_2(record: dict) -> Table:
    """Return the paper's figures beside ours."""
    rows = []
    for method, title in TITLES.items():
        printed = dict(zip(SETS, PAPER.get(PRINTED.get(method, ""), ()), strict=False))
        measured = record["scores"].get(method, {})
        if printed or measured:
            cells = [(printed.get(name, ""), pair(measured.get(name, {}).get("paper"))) for name in SETS]
            rows.append([title, *(cell for both in cells for cell in both)])
    return Table(["method", *(f"{name}, {whose}" for name in SETS for whose in ("printed", "ours"))], rows)


def measures(record: dict) -> Table:
    """Return PSNR, SSIM and LPIPS of what was measured, on every set that was."""
    sets = list(record["scores"]["bicubic"])
    rows = []
    for method in filter(record["scores"].__contains__, TITLES):
        row = [TITLES[method]]
        for name in sets:
            scores = record["scores"][method].get(name, {})
            lpips = scores.get("lpips_alex")
            row += [pair(scores.get("matlab")), "" if lpips is None else f"{lpips:.3f}"]
        rows.append(row)
    return Table(["method", *(f"{name}, {what}" for name in sets for what in ("PSNR / SSIM", "LPIPS"))], rows)


def costs(record: dict) -> Table:
    """Return the sizes and times of the networks."""
    rows = [
        [
            TITLES[network],
            f"{about['parameters']:,}",
            f"{about['gflop']:,.1f}",
            f"{about['seconds']:.2f}",
            f"{about['updates']:,}",
            f"{about['hours']:.2f}",
        ]
        for network, about in record["networks"].items()
    ]
    return Table(["network", "parameters", "GFLOP", "s/picture", "updates", "hours of training"], rows)


def write(docs: pathlib.Path, record: dict) -> None:
    """Write DOCS/baselines.md, its drawing, and the numbers that both are made from."""
    curves = [(TITLES[network], about["curve"]) for network, about in record["networks"].items() if about["curve"]]
    drawing = scatter(
        [],
        curves,
        title="Held-out pictures in the course of the training",
        x_label="hours of training",
        y_label="PSNR (dB), luma",
    )
    page = PAGE.format(
        hours=sum(about["hours"] for about in record["networks"].values()),
        machine=record["machine"],
        remark=f"{remark}\n" if (remark := record.get("remark")) else "",
        data=" ".join(f"{name}=DIR" for name in record["scores"]["bicubic"]),
        table_2=table_2(record).markdown(),
        measures=measures(record).markdown(),
        costs=costs(record).markdown(),
    )
    (docs / "runs").mkdir(parents=True, exist_ok=True)
    replace_text(docs / "runs" / "baselines.json", json.dumps(record, indent=1) + "\n")
    replace_text(docs / "baselines.svg", drawing)
    replace_text(docs / "baselines.md", page)


def card(network: str, name: str, size: int, record: dict, pictures: str) -> str:
    """Return what a user has to know of a shipped network."""
    about, scores = record["networks"][network], record["scores"][network]
    return CARD.format(
        name=name,
        title=TITLES[network],
        network=network,
        pictures=pictures,
        machine=record["machine"],
        size=size / 1e6,
        columns=" | ".join(scores),
        rules="---|" * (len(scores) - 1) + "---",
        paper=" | ".join(pair(of["paper"]) for of in scores.values()),
        matlab=" | ".join(pair(of["matlab"]) for of in scores.values()),
        **{field: about[field] for field in ("updates", "hours", "sha256")},
    )
