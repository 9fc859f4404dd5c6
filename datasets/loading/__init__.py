"""Rows to batches, whatever a row holds."""
