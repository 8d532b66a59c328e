"""Evaluation: whole pictures -> scores under named protocols and metrics, comparisons, reports."""

from srgan_jax.evaluation.command import evaluate_and_report
from srgan_jax.evaluation.comparison import compare, comparison_table
from srgan_jax.evaluation.methods import Method, create_method, of_pictures
from srgan_jax.evaluation.report import Report
from srgan_jax.evaluation.scoring import evaluate, run, score
from srgan_jax.evaluation.sets import EvaluationSet, limited, parse_sets, read_set, source_set
from srgan_jax.evaluation.tables import Table, scores_table, table
from srgan_jax.metrics import better, check_metrics, check_protocols, make_scorers
from srgan_jax.metrics.features import make_feature_distance

__all__ = [
    "EvaluationSet",
    "Method",
    "Report",
    "Table",
    "better",
    "check_metrics",
    "check_protocols",
    "compare",
    "comparison_table",
    "create_method",
    "evaluate",
    "evaluate_and_report",
    "limited",
    "make_feature_distance",
    "make_scorers",
    "of_pictures",
    "parse_sets",
    "read_set",
    "run",
    "score",
    "scores_table",
    "source_set",
    "table",
]
