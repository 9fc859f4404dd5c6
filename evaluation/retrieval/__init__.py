"""Ranks and recalls."""

from evaluation.retrieval.recall import recall_metrics, retrieve

__all__ = ["recall_metrics", "retrieve"]
