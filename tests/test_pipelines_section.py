from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.section import describe_section, read_section, write_value


@dataclass(frozen=True)
class Settings:
    limit: float | None = field(default=None, metadata={"range": (0, None), "doc": "most"})
    mode: Literal["fast", "slow"] = "fast"
    sizes: tuple[int, ...] = field(default=(1, 2), metadata={"range": (1, 9)})
    loud: bool = False
    names: tuple[str, ...] | bool = ()
    parts: tuple[float, ...] = field(default_factory=tuple)
    table: Mapping[str, Any] = field(default_factory=dict)
    weights: str | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.loud and self.mode == "slow":
            raise ValueError("loud and slow do not go together")


def test_a_range_may_be_open_above() -> None:
    assert (
        str(read_section("s", {"limit": -1}, Settings)[1][0])
        == "[s] limit = -1: out of range. Write 0 or more"
    )
    assert read_section("s", {"limit": 10**9}, Settings)[0] == Settings(limit=1e9)


def test_a_choice_among_words_is_read_and_refused() -> None:
    assert read_section("s", {"mode": "slow"}, Settings)[0] == Settings(mode="slow")
    (fault,) = read_section("s", {"mode": "slwo"}, Settings)[1]
    assert fault.problem == 'not known. Write one of "fast", "slow"; the nearest is "slow"'
    assert "not known" in read_section("s", {"mode": 1}, Settings)[1][0].problem


def test_a_field_of_two_types_takes_both_and_names_both() -> None:
    assert read_section("s", {"names": True}, Settings)[0] == Settings(names=True)
    assert read_section("s", {"names": ["a"]}, Settings)[0] == Settings(names=("a",))
    (fault,) = read_section("s", {"names": 3}, Settings)[1]
    assert " or expected true or false" in fault.problem


def test_a_combination_that_the_record_refuses_is_a_fault_of_the_section() -> None:
    (fault,) = read_section("s", {"loud": True, "mode": "slow"}, Settings)[1]
    assert str(fault) == "[s]: loud and slow do not go together"


def test_a_long_value_is_shown_in_part() -> None:
    (fault,) = read_section("s", {"mode": "x" * 1000}, Settings)[1]
    assert len(str(fault)) < 200


def test_types_are_described_in_words() -> None:
    docs = {doc.key: (doc.type, doc.default, doc.example) for doc in describe_section("s", Settings)}
    assert docs == {
        "s.limit": ("number, 0 or more", "none", "0"),
        "s.mode": ('one of "fast", "slow"', '"fast"', '"fast"'),
        "s.sizes": ("list of whole numbers from 1 to 9", "[1, 2]", "[1, 2]"),
        "s.loud": ("true or false", "false", "false"),
        "s.names": ("list of texts or true or false", "none", "[]"),
        "s.parts": ("list of numbers", "none", "[]"),
        "s.table": ("table", "none", "{}"),
        "s.weights": ("text or table", "none", '"..."'),
    }


def test_a_table_is_read_as_it_is() -> None:
    read = read_section("s", {"table": {"delta": 2, "on": True, "name": "x"}}, Settings)[0]
    assert read is not None
    assert read.table == {"delta": 2, "on": True, "name": "x"}


def test_a_table_or_a_word_may_stand() -> None:
    for weights in ("balanced", {"late": 3.0}):
        read = read_section("s", {"weights": weights}, Settings)[0]
        assert read is not None
        assert read.weights == weights


def test_what_is_no_table_and_what_stands_in_it_are_refused() -> None:
    fault = read_section("s", {"table": 3}, Settings)[1][0]
    assert str(fault) == "[s] table = 3: expected a table, e.g. {delta = 2.0}, came a whole number"
    fault = read_section("s", {"table": {"a": [1]}}, Settings)[1][0]
    assert str(fault) == ("[s] table = {a = [1]}: a: expected a number, a text, true or false, came a list")
    fault = read_section("s", {"weights": 3}, Settings)[1][0]
    assert "expected a text in quotes" in fault.problem
    assert "or expected a table" in fault.problem


def test_a_table_is_written_as_toml_writes_it() -> None:
    assert write_value({"on time": 1.5, "late": True}) == '{"on time" = 1.5, late = true}'
    docs = {doc.key: doc for doc in describe_section("s", Settings)}
    assert (docs["s.table"].type, docs["s.table"].default) == ("table", "none")
    assert docs["s.weights"].type == "text or table"
