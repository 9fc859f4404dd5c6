"""Former module of ABX item files, which are read in ``evaluation.abx.items`` since 30 November 2026.

Thin re-export for scripts outside the project; nothing in the project imports it.
"""

from evaluation.abx.items import read_items as read_items
