"""Lines end at LF, CR and CRLF alone, whatever chunks a file is read in."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text import decoding
from clearhead.text.lines import numbered_lines


@given(st.text(st.sampled_from("ab\n\r\u2028\x85\x0c我"), max_size=12), st.integers(1, 5))
def test_lines_do_not_depend_on_chunks(tmp_path_factory: pytest.TempPathFactory, text: str, chunk: int) -> None:
    path = tmp_path_factory.mktemp("l") / "a.txt"
    path.write_bytes(text.encode())
    expected = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not expected[-1]:
        expected.pop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "CHUNK_BYTES", chunk)
        assert list(numbered_lines(path)) == list(enumerate(expected, 1))


def test_gzip_and_marks_and_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress("\ufeffa\r\nb".encode()))
    assert list(numbered_lines(tmp_path / "a.tsv.gz")) == [(1, "a"), (2, "b")]
    (tmp_path / "b.tsv").write_bytes("第一\n第二".encode("gb18030"))
    assert list(numbered_lines(tmp_path / "b.tsv", "gb18030")) == [(1, "第一"), (2, "第二")]
    with pytest.raises(InputError, match=r"b\.tsv: not utf-8 at byte 0 \(line 1\)"):
        list(numbered_lines(tmp_path / "b.tsv"))
