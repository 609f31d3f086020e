"""Sizes, names and numbers as people write them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import BadInput
from labkit.plans.creation import IfExists
from labkit.units import (
    GIB,
    KIB,
    MIB,
    TIB,
    check_choice,
    check_count,
    check_description,
    check_name,
    check_text,
    check_word,
    format_size,
    parse_memory,
    parse_size,
)

NAMES = st.from_regex(r"[^\W_][\w.-]{0,59}", fullmatch=True).filter(
    lambda name: len(unicodedata.normalize("NFC", name)) <= 60
)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("128 MiB", 128 * MIB),
        ("128MiB", 128 * MIB),
        ("  1.5 gib ", GIB + GIB // 2),
        ("1,5 GiB", GIB + GIB // 2),
        ("2 TiB", 2 * TIB),
        ("512 B", 512),
        ("4096", 4096),
        (1, 1),
        (3 * KIB, 3 * KIB),
    ],
)
def test_a_size_is_read_as_written(written: str | int, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written",
    [
        "0",
        "0 MiB",
        "-1",
        "12 parsecs",
        "",
        " ",
        "MiB",
        "1e3",
        "1_000",
        "0x10",
        "1.5.2 MiB",
        "NaN",
        "inf",
        0,
        -1,
        "9" * 30,
    ],
)
def test_what_is_no_size_is_refused_with_a_hint(written: str | int) -> None:
    with pytest.raises(BadInput) as caught:
        parse_size(written, what="memory")
    assert "memory" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("written", [True, None, 1.5, b"1 MiB", ["1 MiB"]])
def test_a_size_of_another_type_is_refused(written: object) -> None:
    with pytest.raises(BadInput):
        parse_size(written)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["K", "M", "G", "T", "KB", "MB", "GB", "TB", "mb"])
def test_units_of_a_thousand_are_ambiguous_and_the_hint_names_the_right_one(unit: str) -> None:
    with pytest.raises(BadInput, match="ambiguous") as caught:
        parse_size(f"1 {unit}")
    assert f"{unit[0].upper()}iB" in caught.value.hint


@given(st.integers(1, 2**62))
def test_a_number_of_bytes_is_itself(size: int) -> None:
    assert parse_size(size) == size


@given(st.integers(1, 4096), st.sampled_from(["B", "KiB", "MiB", "GiB", "TiB"]))
def test_a_whole_size_survives_being_written_and_read(count: int, unit: str) -> None:
    size = parse_size(f"{count} {unit}")
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.05)
    assert format_size(size) != ""


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (KIB, "1 KiB"), (1536 * KIB, "1.5 MiB"), (GIB, "1 GiB"), (-MIB, "-1 MiB")],
)
def test_a_size_is_written_with_at_most_one_decimal(size: int, text: str) -> None:
    assert format_size(size) == text


def test_memory_is_whole_mebibytes() -> None:
    assert parse_memory("1 B") == MIB
    assert parse_memory("128 MiB") == 128 * MIB
    assert parse_memory(128 * MIB + 1) == 129 * MIB


@pytest.mark.parametrize("name", ["web", "Web-1", "7", "a.b_c-d", "ñandú", "机器", "x" * 60, "máquina.1"])
def test_a_name_may_be_of_any_script(name: str) -> None:
    assert check_name(name, what="machine") == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 61,
        "-a",
        ".a",
        "_a",
        "a b",
        "a/b",
        "../a",
        "a\nb",
        "a\n",
        "<a/>",
        "a&b",
        "a'b",
        'a"b',
        "a,b",
        "a\0b",
        "\ud800",
    ],
)
def test_what_cannot_be_a_name_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_name(name, what="machine")
    assert "machine" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadInput):
        check_name(7, what="machine")  # type: ignore[arg-type]


def test_two_ways_to_type_a_name_are_one_name() -> None:
    composed, decomposed = "ma\u00f1ana", "man\u0303ana"
    assert check_name(decomposed, what="machine") == composed


@given(NAMES)
def test_a_checked_name_is_valid_again(name: str) -> None:
    once = check_name(name, what="machine")
    assert check_name(once, what="machine") == once


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_bad_input(text: str) -> None:
    try:
        name = check_name(text, what="machine")
    except BadInput:
        return
    assert 1 <= len(name) <= 60
    assert "/" not in name
    assert name.isprintable()


@pytest.mark.parametrize("count", [0, -1, 1.0, "2", True, None])
def test_a_count_is_a_whole_number_above_zero(count: object) -> None:
    with pytest.raises(BadInput, match="vcpus"):
        check_count(count, what="vcpus")  # type: ignore[arg-type]


def test_a_choice_is_one_of_the_words_and_the_hint_lists_them() -> None:
    assert check_choice(IfExists, "keep", what="if_exists") is IfExists.KEEP
    with pytest.raises(BadInput) as caught:
        check_choice(IfExists, "maybe", what="if_exists")
    assert "'error', 'keep', 'replace'" in caught.value.hint


@pytest.mark.parametrize("word", ["", "qemu 64", "<cpu/>", "x" * 61, "a\n", "a\0", 5])
def test_a_technical_word_is_plain(word: str) -> None:
    with pytest.raises(BadInput):
        check_word(word, what="cpu_model")


@pytest.mark.parametrize("text", ["a\0b", "\ud800", 5])
def test_a_text_can_be_stored(text: str) -> None:
    assert check_text("¡Hola!\n", what="message") == "¡Hola!\n"
    with pytest.raises(BadInput):
        check_text(text, what="message")


def test_a_description_is_any_text_that_can_be_kept() -> None:
    assert check_description("two\r\nlines\tof «text» 龍") == "two\nlines\tof «text» 龍"
    assert check_description("") == ""


@pytest.mark.parametrize("text", ["a\x01b", "a\x1b[2J", "nul\0", "half \ud800", "\uffff", "x" * 100_001, None, 5, b"x"])
def test_what_cannot_be_kept_as_a_description_is_refused(text: object) -> None:
    with pytest.raises(BadInput, match="cannot be a description"):
        check_description(text)  # type: ignore[arg-type]
