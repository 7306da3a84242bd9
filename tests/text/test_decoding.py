"""Bytes to text: what is read alike, and what is refused with its place and its mend."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text import decoding
from clearhead.text.decoding import decoded

Write = Callable[..., Path]
CHINESE = "满纸荒唐言，一把辛酸泪。都云作者痴，谁解其中味？\n" * 20
FRENCH = "Le café déjà vu était très agréable, même à Noël. Où êtes-vous allé ?\n" * 20


def read(path: Path, encoding: str = "utf-8") -> str:
    return "".join(decoded(path, encoding))


def refused(path: Path, encoding: str = "utf-8") -> str:
    with pytest.raises(InputError) as fault:
        read(path, encoding)
    message = str(fault.value)
    assert message.startswith((str(path), "--encoding")) and "\n" not in message
    return message


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbfa\nb\nc\n", b"a\r\nb\r\nc\r\n", b"a\rb\rc\r", gzip.compress(b"a\r\nb\nc\n")]
)
def test_marks_line_ends_and_gzip_make_no_difference(write: Write, data: bytes) -> None:
    path = write("text.txt.gz" if data[:2] == b"\x1f\x8b" else "text.txt", data)
    assert read(path) == "a\nb\nc\n"


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-le", "utf-8-sig", "GBK"])
def test_a_named_encoding_is_read(write: Write, encoding: str) -> None:
    assert read(write("text.txt", CHINESE.encode(encoding)), encoding) == CHINESE


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])), st.integers(1, 7))
def test_chunks_of_any_size_give_the_text(tmp_path: Path, text: str, size: int) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "CHUNK_BYTES", size)
        assert read(path) == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (CHINESE.encode("gb18030"), "gb18030"),
        (b"Title\n\n" + CHINESE.encode("gb18030"), "gb18030"),
        (CHINESE.encode("utf-16"), "utf-16"),
        (FRENCH.encode("utf-16-le"), "utf-16-le"),
        (FRENCH.encode("utf-16-be"), "utf-16-be"),
        (FRENCH.encode("latin-1"), "latin-1"),
        (("\u201cQuoted\u201d " + FRENCH).encode("cp1252"), "cp1252"),
        (CHINESE.encode("utf-32"), "utf-32"),
    ],
)
def test_another_encoding_is_recognised_and_its_option_reads_it(write: Write, data: bytes, looks: str) -> None:
    path = write("text.txt", data)
    assert refused(path).endswith(f"it looks like {looks}: pass --encoding {looks}")
    assert len(read(path, looks)) > 100


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
def test_an_encoding_that_is_not_recognised_is_not_guessed(write: Write, encoding: str) -> None:
    assert "name its encoding" in refused(
        write("text.txt", ("Все счастливые семьи похожи друг на друга. " * 30).encode(encoding))
    )


@pytest.mark.parametrize("chunk", [3, 16, 1 << 20])
def test_the_place_of_a_fault_is_its_byte_and_line(write: Write, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(decoding, "CHUNK_BYTES", chunk)
    good = "one line\r\nof 中文 text\nand "
    message = refused(write("text.txt", good.encode() + b"\xff and more words"))
    assert f"byte {len(good.encode())} (line 3)" in message


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 4,
        b"plain text and then \0\0\0 nothing",
        b"\x7fELF\x02\x01\x01" + bytes(64),
    ],
)
def test_binary_data_is_named_so(write: Write, data: bytes) -> None:
    assert "binary data" in refused(write("picture.txt", data))


@pytest.mark.parametrize("tail", [b"\xe4\xb8", b"\xed\xa0\x80 surrogate", b"\xc0\xaf overlong"])
def test_damaged_utf8_is_not_called_another_encoding(write: Write, tail: bytes) -> None:
    assert "damaged utf-8 at byte" in refused(write("text.txt", CHINESE.encode() + tail))


def test_an_unknown_encoding_names_the_nearest(write: Write) -> None:
    path = write("text.txt", "text")
    assert "did you mean 'gb18030'" in refused(path, "gb1803")
    assert "no such text encoding" in refused(path, "zlib")


@pytest.mark.parametrize("data", [b"plain", gzip.compress(b"text " * 1000)[:40]])
def test_a_broken_gzip_file_is_refused(write: Write, data: bytes) -> None:
    assert "not a whole gzip file" in refused(write("text.txt.gz", data))
