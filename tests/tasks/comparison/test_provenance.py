"""The record of what a run was made from."""

import pytest

from tasks.comparison import provenance


@pytest.mark.parametrize(
    "content", ["", "[]", "5", "{}", '{"complete": true}', '{"complete": 1, "digests": {}}', "[" * 100_000,
                '{"complete": true, "digests": [1]}', '{"complete": true, "digests": {"a": 5}}']
)  # fmt: skip
def test_nonsense_counts_as_no_record_with_a_warning(tmp_path, caplog, content):
    (tmp_path / provenance.FILE).write_text(content)
    assert provenance.read(tmp_path) is None
    assert "it is not regarded" in caplog.text


def test_a_record_is_read_as_it_was_written(tmp_path, caplog):
    assert provenance.read(tmp_path) is None
    provenance.write(tmp_path, {"data": "ab"}, complete=True)
    assert provenance.read(tmp_path) == {"complete": True, "digests": {"data": "ab"}}
    assert not caplog.messages
