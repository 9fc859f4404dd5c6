"""A comparison renews its table in a page of the documentation and leaves the remarks around it."""

import pytest

from tasks.comparison.tables import BEGIN, END, renewed


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [
        ("# Results\n", "# Results\n\n", "\n"),
        (f"# Results\n\nWhy.\n\n{BEGIN}\nold\n{END}\n\nRemarks.\n", "# Results\n\nWhy.\n\n", "\n\nRemarks.\n"),
        ("", "\n\n", "\n"),
    ],
)
def test_the_table_of_a_page_is_renewed_and_the_rest_stays(page, before, after):
    once = renewed(page, "| a |\n")
    assert once == f"{before}{BEGIN}\n\n| a |\n\n{END}{after}"
    assert renewed(once, "| b |") == once.replace("| a |", "| b |")
