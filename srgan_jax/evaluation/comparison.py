"""Two methods on the same pictures: is the difference more than chance?"""

import numpy as np
from scipy import stats

RESAMPLES = 10_000


def compare(results: dict, other: dict) -> dict:
    """Compare what `scoring.run` returned for two methods, picture by picture.

    Returns:
      {set: {protocol: {"psnr" or "ssim": {
        "mean_difference": of results - other, over the pictures in which both scores are finite,
        "interval": its 95 % interval, from a percentile bootstrap over pictures (10,000 resamples, fixed seed),
        "wilcoxon_p": of the paired two-sided Wilcoxon signed-rank test, which the paper uses (section 3.1),
        "count": of those pictures}}}}.
      Intervals are null for fewer than two pictures; p is null where all differences are zero.
    """
    comparison = {}
    for name, scores in results["datasets"].items():
        pairs = [(image, other["datasets"][name]["images"][stem]) for stem, image in scores["images"].items()]
        comparison[name] = {
            protocol: {
                metric: _differ([(mine[protocol][metric], theirs[protocol][metric]) for mine, theirs in pairs])
                for metric in ("psnr", "ssim")
            }
            for protocol in results["protocols"]
        }
    return comparison


def _differ(pairs) -> dict:
    differences = np.array([mine - theirs for mine, theirs in pairs if mine is not None and theirs is not None])
    count = len(differences)
    interval = wilcoxon_p = None
    if count > 1:
        picks = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
        interval = np.percentile(differences[picks].mean(1), (2.5, 97.5)).tolist()
    if differences.any():
        wilcoxon_p = float(stats.wilcoxon(differences).pvalue)
    mean = float(differences.mean()) if count else None
    return {"mean_difference": mean, "interval": interval, "wilcoxon_p": wilcoxon_p, "count": count}


def comparison_table(comparison: dict, name: str, other: str) -> str:
    """The comparison as a Markdown table."""
    lines = [f"{name} minus {other}:", "", "| set | protocol | | mean | 95 % interval | Wilcoxon p | images |"]
    lines.append("|---|---|---|---|---|---|---|")
    for dataset, protocols in comparison.items():
        for protocol, metrics in protocols.items():
            for metric, values in metrics.items():
                digits = {"psnr": 3, "ssim": 4}[metric]
                numbers = [_signed(values["mean_difference"], digits)]
                numbers.append(" … ".join(_signed(x, digits) for x in values["interval"] or ()) or "–")
                numbers.append("–" if values["wilcoxon_p"] is None else f"{values['wilcoxon_p']:.2g}")
                lines.append(
                    f"| {dataset} | {protocol} | {metric.upper()} | {' | '.join(numbers)} | {values['count']} |"
                )
    return "\n".join(lines)


def _signed(value, digits: int) -> str:
    return "–" if value is None else f"{value:+.{digits}f}"
