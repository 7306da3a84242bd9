"""Opening a text: what is refused, what a corpus says, and that documents stream."""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text.corpora import EMBEDDED, FILE_BLOCK, LONGEST_DOCUMENT, blocks, documents, open_corpus

Write = Callable[..., Path]


def refused(source: Path | str, encoding: str = "utf-8") -> str:
    with pytest.raises(InputError) as fault:
        open_corpus(source, encoding=encoding)
    assert "\n" not in str(fault.value)
    return str(fault.value)


def test_the_embedded_corpus_is_the_default() -> None:
    corpus = open_corpus(None)
    assert corpus == open_corpus(EMBEDDED)
    assert (corpus.name, corpus.source) == ("Python documentation", "embedded")
    assert corpus.characters == sum(map(len, documents(corpus)))


def test_a_corpus_is_plain_data(novel: Path) -> None:
    corpus = open_corpus(novel)
    assert pickle.loads(pickle.dumps(corpus)) == corpus
    assert (corpus.name, corpus.source, corpus.characters) == ("novel.txt", str(novel), len(novel.read_text()))


def test_a_file_streams_in_blocks_of_whole_paragraphs(novel: Path) -> None:
    found = list(documents(open_corpus(novel)))
    assert "".join(found) == novel.read_text()
    assert max(map(len, found)) <= FILE_BLOCK
    assert all(block.endswith("\n\n") for block in found[:-1])


def test_a_folder_gives_a_document_a_file_sorted(write: Write, tmp_path: Path) -> None:
    for name, text in [("b.txt", "second"), ("a.TXT", "first"), ("c/d.txt", "third"), ("x.md", "no"), (".e.txt", "no")]:
        write(name, text)
    write("c/z.txt.gz", gzip.compress(b"fourth"))
    write("c/blank.txt", " \n")
    write(".git/f.txt", "no")
    assert list(documents(open_corpus(tmp_path))) == ["first", "second", "third", "fourth"]


def test_a_long_file_in_a_folder_comes_in_pieces(write: Write, tmp_path: Path) -> None:
    write("long.txt", "All work and no play. " * 10_000)
    assert max(map(len, documents(open_corpus(tmp_path)))) <= LONGEST_DOCUMENT


def test_the_digest_is_of_the_text_and_not_of_its_bytes(write: Write) -> None:
    text = "言有尽而意无穷。\n余意尽在不言中。\n"
    plain = open_corpus(write("a.txt", text))
    same = [
        open_corpus(write("b.txt", "\ufeff" + text.replace("\n", "\r\n"))),
        open_corpus(write("c.txt", text.encode("gb18030")), encoding="gb18030"),
        open_corpus(write("d.txt.gz", gzip.compress(text.encode()))),
    ]
    assert {corpus.sha256 for corpus in same} == {plain.sha256}
    assert {corpus.characters for corpus in same} == {len(text)}
    assert open_corpus(write("e.txt", text + "又")).sha256 != plain.sha256
    assert ["".join(documents(corpus)) for corpus in same] == [text] * 3


def test_where_files_end_counts(write: Write, tmp_path: Path) -> None:
    write("one/a.txt", "ab")
    write("one/b.txt", "c")
    write("two/a.txt", "a")
    write("two/b.txt", "bc")
    assert open_corpus(tmp_path / "one").sha256 != open_corpus(tmp_path / "two").sha256


def test_line_separators_and_other_marks_do_no_harm(write: Write) -> None:
    text = "one\u2028two\u2029three\x85four\x0bfive\x0csix"
    assert list(documents(open_corpus(write("a.txt", text)))) == [text]


def test_what_is_missing_names_the_nearest(novel: Path) -> None:
    message = refused(novel.with_name("novle.txt"))
    assert "no such file" in message and "did you mean 'novel.txt'" in message
    assert "no such file" in refused("x" * 5000)
    assert "no such file" in refused(novel / "inside.txt")


@pytest.mark.parametrize(
    ("content", "words"), [("", "empty"), (" \n\t\r\n\u3000", "only white space"), ("\ufeff", "empty")]
)
def test_what_is_empty_is_refused(write: Write, content: str, words: str) -> None:
    path = write("a.txt", content)
    assert f"{path}: {words};" in refused(path)


def test_a_folder_without_text_is_refused(write: Write, tmp_path: Path) -> None:
    write("readme.md", "text")
    assert "no .txt file in this folder" in refused(tmp_path)


def test_a_bad_file_in_a_folder_is_named(write: Write, tmp_path: Path) -> None:
    write("good.txt", "good text")
    bad = write("inner/bad.txt", b"\x00\x01\x02")
    assert f"{bad}: binary data" in refused(tmp_path)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert "not a regular file" in refused(tmp_path / "pipe.txt")


def test_a_text_that_changes_after_it_was_opened_is_refused(novel: Path) -> None:
    corpus = open_corpus(novel)
    novel.write_text(novel.read_text().replace("number 7.", "number 8."))
    with pytest.raises(InputError, match="changed since it was opened"):
        list(documents(corpus))


@settings(deadline=None)
@given(st.lists(st.text("ab. \n。"), max_size=6), st.integers(1, 30))
def test_blocks_are_short_and_lose_nothing(texts: list[str], longest: int) -> None:
    found = list(blocks(texts, longest))
    assert "".join(found) == "".join(texts)
    assert all(0 < len(block) <= longest for block in found)


MEASURE = """
import resource, sys
from clearhead.text.corpora import open_corpus
from clearhead.text.splits import split_corpus
rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = rss()
split = split_corpus(open_corpus(sys.argv[1]), max_characters=200_000)
print(rss() - before, sum(map(len, split.train + split.validation)))
"""


@pytest.mark.parametrize("kind", ["many lines", "one line", "no end at all"])
def test_memory_stays_bounded_on_a_large_text(tmp_path: Path, kind: str) -> None:
    megabytes = 64 if kind == "many lines" else 20
    path = tmp_path / "large.txt"
    with path.open("w", encoding="utf-8") as file:
        for number in range(megabytes):
            sentence = f"In the year {number} nobody knew why the river was so still. "
            content = {"many lines": sentence.strip() + "\n", "one line": sentence, "no end at all": f"{number}"}[kind]
            file.write((content * ((1 << 20) // len(content) + 1))[: 1 << 20])
            file.write(f" Number {number} is odd. " if kind != "no end at all" else "")
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    megabytes_more, characters = map(float, done.stdout.split())
    assert megabytes_more < 60
    assert 100_000 < characters <= 200_000


def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(InputError, match="path of the text is empty"):
        open_corpus("")
