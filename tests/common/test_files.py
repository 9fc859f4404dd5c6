import pytest

from common.files import write_whole, written_whole


def test_a_file_is_replaced_only_when_it_is_complete(tmp_path):
    path = tmp_path / "folder" / "list.txt"
    write_whole(path, b"first")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as temporary:
        temporary.write_bytes(b"sec")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"first"
    with written_whole(path) as temporary:
        temporary.write_bytes(b"second")
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    assert [found.name for found in path.parent.iterdir()] == ["list.txt"]
