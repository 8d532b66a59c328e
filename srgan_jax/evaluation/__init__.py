"""Evaluation: whole pictures -> scores under named protocols, comparisons, reports."""

from srgan_jax.evaluation.command import evaluate_and_report
from srgan_jax.evaluation.comparison import compare, comparison_table
from srgan_jax.evaluation.report import Report
from srgan_jax.evaluation.scoring import (
    Method,
    check_protocols,
    create_method,
    evaluate,
    make_feature_distance,
    run,
    table,
)
from srgan_jax.evaluation.sets import EvaluationSet, limited, parse_sets, read_set, source_set

__all__ = [
    "EvaluationSet",
    "Method",
    "Report",
    "check_protocols",
    "compare",
    "comparison_table",
    "create_method",
    "evaluate",
    "evaluate_and_report",
    "limited",
    "make_feature_distance",
    "parse_sets",
    "read_set",
    "run",
    "source_set",
    "table",
]
