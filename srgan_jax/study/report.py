"""The report of a study: one self-contained page, and everything in it as tables."""

import csv
import io
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from srgan_jax.errors import InputError, nearest_name
from srgan_jax.files import check_outputs, replace_text
from srgan_jax.study import design as designs
from srgan_jax.study.analysis import analyse_grades, analyse_pairs
from srgan_jax.study.creating import read_scores
from srgan_jax.study.pages import ENVIRONMENT
from srgan_jax.study.ratings import SIMULATED, csv_of, from_store, grades_of, read_csv, sureal_json
from srgan_jax.study.store import Store

FILES = ("index.html", "results.json", "answers.csv", "raters.csv", "methods.csv", "differences.csv", "pictures.csv")
FILES += ("sureal.json",)


def analyse(
    source: str | pathlib.Path,
    out: str | pathlib.Path,
    *,
    scores: Sequence[str] = (),
    without: Sequence[str] = (),
) -> str:
    """Analyse a study, and write the report.

    Args:
      source: the folder of a study, or a CSV file (ratings.read_csv).
      out: directory for `index.html`, `results.json`, and the tables as CSV.
      scores: entries "METHOD=DIR" or "DIR" of folders that eval.py has written, for metrics beside the opinions. What
        `create` found in the methods' folders is there already.
      without: raters who are left out.

    Returns:
      A table of the methods in Markdown.

    Raises:
      InputError: the source is neither, there are no answers, or a name is unknown.
    """
    source, out = pathlib.Path(source), pathlib.Path(out)
    title, methods, reference, known, replies = source.stem, (), "", {}, {}
    if source.is_dir():
        design = designs.read_design(source)
        title, methods, reference, known = design.title, design.methods, design.reference, dict(design.scores)
        with Store(source / designs.ANSWERS) as store:
            ratings = from_store(store)
            prefix = SIMULATED if store.setting("simulated") else ""
            replies = {
                f"{prefix}{rater}": dict(zip(design.questions, given, strict=True))
                for rater, given in store.replies().items()
            }
    else:
        ratings = read_csv(source)
    if not ratings:
        raise InputError(f"{source}: there are no answers yet; come back when somebody has graded pictures.")
    names = sorted({rating.rater for rating in ratings})
    for name in without:
        if name not in names:
            raise InputError(f"there is no rater {name!r} to leave out; {nearest_name(name, names)}")
    ratings = [rating for rating in ratings if rating.rater not in without]
    inputs = [source] if source.is_file() else [source / designs.DESIGN, source / designs.ANSWERS]
    check_outputs([(out / name, "the report") for name in FILES], inputs)
    for entry in scores:
        method, _, folder = entry.rpartition("=")
        found = read_scores(folder)
        if not found:
            raise InputError(f"{folder}: expected results.json of eval.py; name the folder that it has written.")
        known[method or pathlib.Path(folder).resolve().name] = found
    out.mkdir(parents=True, exist_ok=True)
    if any(rating.other for rating in ratings):
        results = analyse_pairs(ratings, methods=methods)
        tables = {"methods": results["strengths"], "differences": results["meetings"]}
    else:
        results = analyse_grades(ratings, methods=methods, reference=reference, scores=known)
        tables = {
            "methods": [{"set": g["name"]} | _plain(row) for g in results["groups"] for row in g["methods"]],
            "differences": [{"set": g["name"]} | _plain(row) for g in results["groups"] for row in g["differences"]],
            "pictures": results["pictures"],
        }
        replace_text(out / "sureal.json", sureal_json(grades_of(ratings, methods)))
    for row in results["people"]:
        row["replies"] = replies.get(row["rater"], {})
    results |= {"title": title, "left_out_by_hand": list(without)}
    for name, rows in (tables | {"raters": results["people"]}).items():
        replace_text(out / f"{name}.csv", _csv(map(_plain, rows)))
    replace_text(out / "answers.csv", csv_of(ratings))
    replace_text(out / "results.json", json.dumps(_finite(results), indent=1, ensure_ascii=False) + "\n")
    page = ENVIRONMENT.get_template("report.html").render(results, number=number, p_value=p_value, sum=sum)
    replace_text(out / "index.html", page + "\n")
    return f"{_summary(results)}\n\n{out / 'index.html'}"


def _summary(results: Mapping[str, Any]) -> str:
    """Return the methods as a table in Markdown."""
    lines = ["**Simulated raters, not people.**\n"] if results["simulated"] else []
    if results["kind"] == "pairs":
        lines += ["| method | won | strength | 95 % interval |", "|---|---|---|---|"]
        for row in results["strengths"]:
            ends = " … ".join(number(end) for end in row["interval"])
            lines.append(f"| {row['method']} | {100 * row['won']:.0f} % | {number(row['strength'])} | {ends} |")
        return "\n".join(lines)
    lines += ["| set | method | MOS | 95 % interval | raters |", "|---|---|---|---|---|"]
    for group in results["groups"]:
        for row in group["methods"]:
            ends = " … ".join(number(end) for end in row["interval"])
            star = "*" if row["best"] else ""
            lines.append(
                f"| {group['name'] or '–'} | {row['method']} | {number(row['mean'])}{star} | {ends} | {row['raters']} |"
            )
    return "\n".join(lines)


def number(value: float | None, digits: int = 2) -> str:
    """Return a number as it is printed; – for none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """Return a p-value as it is printed."""
    if value is None or math.isnan(value):
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without nesting: the ends of intervals and the values of dicts get columns of their own."""
    flat = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {key}": inner for key, inner in value.items()}
        elif isinstance(value, tuple) and hasattr(value, "_asdict"):
            flat |= {f"{name} {key}": inner for key, inner in value._asdict().items()}
        elif isinstance(value, list | tuple):
            flat |= {f"{name} {i + 1}": inner for i, inner in enumerate(value)}
        else:
            flat[name] = value
    return flat


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value != value else value for name, value in row.items()} for row in rows)
    return out.getvalue()


def _finite(tree: Any) -> Any:
    """Replace NaN, which JSON does not have, by null."""
    if isinstance(tree, Mapping):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
