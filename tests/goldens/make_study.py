"""Write study.json: grades of simulated raters, and what sureal makes of them (pip install sureal; made with 0.9.0).

python tests/goldens/make_study.py
"""

import contextlib
import io
import json
import pathlib
from argparse import Namespace

import numpy as np
from sureal.dataset_reader import RawDatasetReader
from sureal.subjective_model import (
    BiasremvMosModel,
    MaximumLikelihoodEstimationModelContentObliviousAlternativeProjection,
    SubjrejMosModel,
)


def make_table():
    """Grades of 12 raters for 24 pictures, a tenth of them missing; the last two raters are out of line."""
    rng = np.random.default_rng(1)
    quality, bias, noise = rng.uniform(1.3, 4.7, 24), rng.normal(0, 0.4, 12), rng.uniform(0.3, 0.9, 12)
    table = np.clip(np.rint(quality + bias[:, None] + noise[:, None] * rng.normal(size=(12, 24))), 1, 5)
    table[10] = rng.integers(1, 6, 24)
    table[11] = 6 - table[11]
    table[rng.random(table.shape) < 0.1] = np.nan
    return table


def main():
    table = make_table()
    videos = [
        {"content_id": i, "asset_id": i, "path": f"{i}", "os": {f"{r:02}": x for r, x in enumerate(column) if x == x}}
        for i, column in enumerate(table.T)
    ]
    references = [{"content_id": i, "content_name": f"{i}", "path": f"{i}"} for i in range(24)]
    reader = RawDatasetReader(Namespace(ref_videos=references, dis_videos=videos, ref_score=5.0, dataset_name="study"))
    with contextlib.redirect_stdout(io.StringIO()):
        found = MaximumLikelihoodEstimationModelContentObliviousAlternativeProjection(reader).run_modeling()
        screened = SubjrejMosModel(reader).run_modeling()
        shifted = BiasremvMosModel(reader).run_modeling()
    golden = {
        "table": [[None if x != x else int(x) for x in row] for row in table.tolist()],
        "quality": list(map(float, found["quality_scores"])),
        "deviation": list(map(float, found["quality_scores_std"])),
        "bias": list(map(float, found["observer_bias"])),
        "inconsistency": list(map(float, found["observer_inconsistency"])),
        "rejected": list(map(bool, screened["observer_rejected"])),
        "outside": list(map(float, screened["observer_rejected_1st_stats"])),
        "lopsided": [None if x != x else float(x) for x in screened["observer_rejected_2nd_stats"]],
        "plain_bias": list(map(float, shifted["observer_bias"])),
    }
    pathlib.Path(__file__).with_name("study.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
