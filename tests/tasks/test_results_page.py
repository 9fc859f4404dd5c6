"""A measurement renews its tables in a page of the documentation and leaves the rest as it is."""

import pytest

from tasks.results_page import marks, renew_page, renewed

BEGIN, END = marks("a test")


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [
        ("# Results\n", "# Results\n\n", "\n"),
        (f"# Results\n\nWhy.\n\n{BEGIN}\nold\n{END}\n\nRemarks.\n", "# Results\n\nWhy.\n\n", "\n\nRemarks.\n"),
        ("", "\n\n", "\n"),
    ],
)
def test_the_table_of_a_page_is_renewed_and_the_rest_stays(page, before, after):
    once = renewed(page, "| a |\n", "a test")
    assert once == f"{before}{BEGIN}\n\n| a |\n\n{END}{after}"
    assert renewed(once, "| b |", "a test") == once.replace("| a |", "| b |")


def test_two_measurements_share_a_page(tmp_path):
    page = tmp_path / "my_results.md"
    for text, by in (("first", "one"), ("second", "two"), ("third", "one")):
        renew_page(page, text, by)
    read = page.read_text()
    assert read.startswith("# my results\n")
    assert "first" not in read
    assert read.index("third") < read.index("second")
