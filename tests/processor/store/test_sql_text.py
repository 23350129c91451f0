import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox_processor.store.sql_text import SqlTextError, split_statements, tokens


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1"]),
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT 2", ["SELECT ';'", "SELECT 2"]),
        (r"SELECT '\';'; SELECT 2", [r"SELECT '\';'", "SELECT 2"]),
        ("SELECT ''';'; SELECT 2", ["SELECT ''';'", "SELECT 2"]),
        ('SELECT `;`, ";"', ['SELECT `;`, ";"']),
        ("SELECT 1 -- ;\n; SELECT 2", ["SELECT 1 -- ;", "SELECT 2"]),
        ("SELECT /* ; */ 1", ["SELECT /* ; */ 1"]),
        (";;-- nothing\n/* at all */;", []),
        ("", []),
    ],
)
def test_a_semicolon_ends_a_statement_only_outside_of_quotes_and_comments(
    sql: str, statements: list[str]
) -> None:
    assert split_statements(sql) == statements


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'open",
        'SELECT "open',
        "SELECT `open",
        "SELECT /* open",
        "SELECT \u2018a\u2019",
        "$$a$$",
        "SELECT 1_000",
        "SELECT 0b1",
        "SELECT 1.a",
    ],
)
def test_text_with_more_than_one_reading_is_refused(sql: str) -> None:
    with pytest.raises(SqlTextError, match="unexpected"):
        list(tokens(sql))


@given(st.text(alphabet="a'\"`\\;-/* \n1.(", max_size=30))
def test_tokens_are_the_text_or_an_error(sql: str) -> None:
    try:
        found = list(tokens(sql))
    except SqlTextError:
        return
    assert "".join(token.text for token in found) == sql


@pytest.mark.parametrize("number", ["1", "1.", "1.5", "1e5", "1.e-5", "0x1f"])
def test_a_number_is_one_token_with_its_point(number: str) -> None:
    assert [token.text for token in tokens(f"{number} a")] == [number, " ", "a"]
