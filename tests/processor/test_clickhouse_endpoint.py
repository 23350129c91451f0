import gzip
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias
from urllib.request import Request, urlopen

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from farebox_processor.clickhouse_endpoint import read_only_endpoint
from farebox_processor.clickhouse_endpoint.engine import Engine as Statements
from farebox_processor.clickhouse_endpoint.functions import Functions
from farebox_processor.clickhouse_endpoint.guard import Guard
from farebox_processor.clickhouse_endpoint.refusal import StatementRefusedError
from farebox_processor.store.migrations import migrate
from farebox_processor.store.queries import ConversationFilter, conversations, totals
from farebox_processor.store.sql_text import tokens

Engine: TypeAlias = Callable[[str], Client]

DATABASE = "endpoint"
SECRET = "the canary sings"  # noqa: S105 - what must not be read

# Some of the engine's functions, as it lists them.
FUNCTIONS = [
    ("file", "", "Other"),
    ("joinGet", "", "Other"),
    ("dictGet", "", "Dictionary"),
    ("arrayMap", "", "Arrays"),
    ("in", "", "Comparison"),
    ("notIn", "", "Comparison"),
]


@pytest.fixture(scope="module")
def application(engine: Engine, engine_dsn: str) -> Iterator[Starlette]:
    """The endpoint on a database with one plan of one tier."""
    client = engine(DATABASE)
    migrate(client, DATABASE)
    client.command(
        "INSERT INTO plans (plan, tenant, feature, position, tier, price_usd)"
        " VALUES ('default', '', '', 0, 'flat', '0.02')"
    )
    with read_only_endpoint(engine_dsn, DATABASE) as application:
        yield application


@pytest.fixture
def http(application: Starlette) -> TestClient:
    """A plain HTTP client of the endpoint."""
    return TestClient(application, base_url="http://127.0.0.1:8123")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that nobody may read."""
    file = tmp_path / "canary.tsv"
    file.write_text(SECRET)
    return file


@pytest.fixture(scope="module")
def port(application: Starlette, serve: Callable[[Starlette], int]) -> int:
    """The port of a real server of the endpoint."""
    return serve(application)


@pytest.fixture
def client(port: int) -> Client:
    """clickhouse-connect's own HTTP client, connected to the endpoint."""
    return clickhouse_connect.get_client(host="127.0.0.1", port=port, database=DATABASE)


def test_the_http_client_of_clickhouse_connects_and_reads(client: Client) -> None:
    assert client.query("SELECT tier, price_usd FROM plans").result_rows == [
        ("flat", Decimal("0.02"))
    ]
    assert client.query_arrow("SELECT number FROM numbers(3)").to_pydict() == {"number": [0, 1, 2]}
    assert client.query("SELECT tier FROM plans WHERE tier = 'none'").result_rows == []
    assert client.command("SELECT 1 + 1") == 2
    assert client.ping()


def test_parameters_arrive_as_they_were_written(client: Client) -> None:
    text = "a\tb\nc'd\\e\u20ac"

    rows = client.query("SELECT {text:String}, {n:Int8}", parameters={"text": text, "n": -1})

    assert rows.result_rows == [(text, -1)]


def test_parameters_too_long_for_a_url_arrive_in_a_form(client: Client) -> None:
    text = "x" * 50_000

    assert client.command("SELECT length({text:String})", parameters={"text": text}) == 50_000


def test_a_query_that_curl_posts_as_a_form_is_answered(http: TestClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    answered = http.post("/", content="SELECT 1 + 1 WHERE 2=2", headers=form)

    assert answered.text == "2\n"
    assert http.post("/", data={"query": "SELECT 3"}).text == "3\n"


def test_the_queries_of_the_command_line_are_let_through(client: Client) -> None:
    assert conversations(client, ConversationFilter(tenant="acme")).is_empty()
    assert totals(client, "feature").is_empty()


def test_an_error_of_the_engine_arrives_with_its_code(client: Client) -> None:
    with pytest.raises(DatabaseError, match="no_such_column") as error:
        client.query("SELECT no_such_column FROM plans")

    assert error.value.code == 47


def test_a_large_result_is_compressed_for_who_takes_gzip(http: TestClient) -> None:
    query = {"query": "SELECT number FROM numbers(10000)"}

    answered = http.get("/", params=query, headers={"Accept-Encoding": "gzip"})

    assert answered.headers["content-encoding"] == "gzip"
    assert answered.text.splitlines()[-1] == "9999"


def test_a_compressed_query_is_read(http: TestClient) -> None:
    body = gzip.compress(b"SELECT 7")

    assert http.post("/", content=body, headers={"Content-Encoding": "gzip"}).text == "7\n"


def test_a_compressed_bomb_is_refused(http: TestClient) -> None:
    bomb = gzip.compress(bytes(64 << 20))

    answered = http.post("/", content=bomb, headers={"Content-Encoding": "gzip"})

    assert answered.status_code == 400
    assert "larger than" in answered.text


@pytest.mark.parametrize("path", ["/ping", "/"])
def test_who_asks_whether_anybody_is_there_is_told(http: TestClient, path: str) -> None:
    assert http.get(path).text == "Ok.\n"


def test_the_query_may_stand_in_the_url_and_go_on_in_the_body(http: TestClient) -> None:
    assert http.post("/", params={"query": "SELECT 1,"}, content=b"2").text == "1\t2\n"


def test_the_default_format_is_what_the_client_says(http: TestClient) -> None:
    answered = http.get("/", params={"query": "SELECT 1 AS x", "default_format": "JSONEachRow"})

    assert answered.text == '{"x":1}\n'
    assert answered.headers["x-clickhouse-format"] == "JSONEachRow"


def test_clickhouse_go_is_told_a_revision_whose_layout_the_engine_writes(http: TestClient) -> None:
    query = "SELECT displayName(), version(), revision(), timezone()"

    hello = http.post(
        "/",
        params={"client_protocol_version": "54460", "default_format": "Native"},
        content=query.encode(),
    ).content

    block_info = b"\x01\x00\x02" + struct.pack("<i", -1) + b"\x00"
    assert hello.startswith(
        block_info + b"\x04\x01" + b"\x0ddisplayName()\x06String\x00\x07farebox"
    )
    assert b"\x0arevision()\x06UInt32\x00" + struct.pack("<I", 0) in hello
    assert hello.endswith(b"\x0atimezone()\x06String\x00\x03UTC")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM conversations",
        "SELECT count() FROM endpoint.conversations WHERE tenant = 'x' -- a comment",
        "WITH t AS (SELECT 1 AS a) SELECT a FROM t",
        "SELECT sumIf(cost_usd, cost_usd > 0), quantile(0.5)(cost_usd) FROM conversations",
        "SELECT toStartOfInterval(Timestamp, INTERVAL 60 second) AS time, count()"
        " FROM otel_traces WHERE Timestamp >= toDateTime64('2026-01-01 00:00:00', 9)"
        " AND SpanAttributes['gen_ai.request.model'] != '' GROUP BY time ORDER BY time",
        "SELECT arrayMap(x -> x + 1, [1, 2]) AS added, CAST('1' AS Decimal(38, 18)), 1::Int8",
        "SELECT min(Start), max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = 'x'",
        "SELECT name FROM system.tables WHERE database = 'endpoint'",
        "SELECT 1 UNION ALL SELECT 2",
        "SELECT 1;",
        "SHOW DATABASES",
        "SHOW TABLES",
        f"SHOW TABLES FROM {DATABASE}",
        "SHOW CREATE TABLE spans",
        f"DESCRIBE TABLE {DATABASE}.spans",
        "EXISTS TABLE spans",
        "EXPLAIN SELECT count() FROM spans",
        "SELECT 'file(' || ';' || 'SETTINGS INTO OUTFILE' AS text",
    ],
)
def test_what_dashboards_ask_is_answered(http: TestClient, sql: str) -> None:
    answered = http.post("/", content=sql.encode())

    assert answered.status_code == 200, answered.text


BREAK_OUTS = [
    # files and programs
    "SELECT file('{canary}')",
    "SELECT * FROM file('{canary}')",
    "SELECT * FROM file('{canary}', 'TSV', 'line String')",
    "SELECT \"file\"('{canary}')",
    "SELECT `file`('{canary}')",
    "SELECT FILE('{canary}')",
    "SELECT file /* */ ('{canary}')",
    "SELECT file -- \n ('{canary}')",
    "SELECT arrayMap(file, ['{canary}'])",
    'SELECT arrayMap("file", [\'{canary}\'])',
    "SELECT arrayMap(fi/**/le, ['{canary}'])",
    "SELECT * FROM defa/**/ult.`{canary}`",
    "SELECT * APPLY file FROM (SELECT '{canary}')",
    "SELECT * APPLY(file) FROM (SELECT '{canary}')",
    "SELECT COLUMNS('.*') APPLY file FROM (SELECT '{canary}')",
    "WITH file AS f SELECT f('{canary}')",
    "SELECT * FROM default.`{canary}`",
    'SELECT * FROM "default"."{canary}"',
    "SELECT * FROM DEFAULT.`{canary}`",
    "SELECT * FROM `{canary}`",
    "SELECT * FROM '{canary}'",
    "SELECT 1 IN default.`{canary}`",
    "SELECT '" + SECRET + "' IN (default.`{canary}`)",
    "SELECT in('" + SECRET + "', default.`{canary}`)",
    "SELECT notIn('" + SECRET + "', default.`{canary}`)",
    "SELECT 1 GLOBAL IN default.`{canary}`",
    "SELECT 1 IN system.query_log",
    "SELECT 1 IN (elsewhere.secrets)",
    "SELECT * FROM plans JOIN default.`{canary}` ON 1 = 1",
    "SELECT * FROM (SELECT * FROM default.`{canary}`)",
    "SELECT (SELECT * FROM default.`{canary}`)",
    "DESCRIBE TABLE file('{canary}')",
    "DESCRIBE TABLE default.`{canary}`",
    "SHOW CREATE TABLE default.`{canary}`",
    "EXISTS TABLE default.`{canary}`",
    "EXPLAIN SELECT * FROM file('{canary}')",
    "EXPLAIN ESTIMATE SELECT file('{canary}')",
    "SELECT * FROM executable('cat {canary}', 'TSV', 'x String')",
    "SELECT * FROM python('{canary}')",
    "SELECT * FROM filesystem('{canary}')",
    "SELECT * FROM view(SELECT file('{canary}'))",
    "SELECT * FROM merge('default', '.*')",
    "SELECT * FROM loop(default.`{canary}`)",
    "SELECT * FROM sqlite('{canary}', 'x')",
    "SELECT joinGet('default.x', 'y', 1)",
    "SELECT dictGet('default.x', 'y', 1)",
    "SELECT 1 INTO OUTFILE '{canary}.out'",
    "SELECT 1 INTO OUTFILE '{canary}.out' FORMAT TSV",
    "SELECT 1 FORMAT TSV INTO OUTFILE '{canary}.out'",
    "INSERT INTO FUNCTION file('{canary}.out') SELECT 1",
    "BACKUP DATABASE endpoint TO File('{canary}.out')",
    # the network
    "SELECT * FROM url('http://127.0.0.1:9/', 'TSV', 'x String')",
    "SELECT * FROM s3('http://127.0.0.1:9/x')",
    "SELECT * FROM remote('127.0.0.1:9', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1:9', system.one)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM mysql('127.0.0.1:9', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:9', 'a', 'b', 'c', 'd')",
    "SELECT * FROM mongodb('127.0.0.1:9', 'a', 'b', 'c', 'd')",
    "SELECT * FROM redis('127.0.0.1:9', 'a', 'b')",
    "SELECT * FROM iceberg('http://127.0.0.1:9/')",
    "SELECT aiGenerate('x')",
    # settings, writing, statements
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 settings max_threads = 64",
    "SELECT * FROM (SELECT 1 SETTINGS readonly = 0)",
    "SELECT 1. SETTINGS max_threads = 2",
    "SELECT 1_0. SETTINGS max_threads = 2",
    "SELECT 0b1. SETTINGS max_threads = 2",
    "SELECT 0x1. SETTINGS max_threads = 2",
    "SELECT 1.5. SETTINGS max_threads = 2",
    "SET readonly = 0",
    "SELECT 1; DROP TABLE plans",
    "SELECT 1;SELECT 2",
    "DROP TABLE plans",
    "TRUNCATE TABLE plans",
    "INSERT INTO plans SELECT * FROM plans",
    "INSERT INTO plans VALUES (1)",
    "ALTER TABLE plans DELETE WHERE 1",
    "DELETE FROM plans WHERE 1",
    "CREATE TABLE t (x Int8) ENGINE = File(TSV, '{canary}')",
    "CREATE FUNCTION f AS x -> file(x)",
    "RENAME TABLE plans TO p",
    "KILL QUERY WHERE 1",
    "SYSTEM SHUTDOWN",
    "USE default",
    "ATTACH TABLE t FROM '{canary}' (x Int8) ENGINE = MergeTree ORDER BY x",
    "EXPLAIN DROP TABLE plans",
    # what is nobody's business
    "SELECT * FROM system.query_log",
    "SELECT * FROM system.server_settings",
    "SELECT * FROM system.processes",
    "SELECT * FROM system . `users`",
    "SELECT * FROM information_schema.tables",
    "SELECT getServerSetting('max_threads')",
    "SELECT getMacro('x')",
    "SELECT sleep(3)",
    "SHOW GRANTS",
    "SHOW PROCESSLIST",
    # what two readers may read in two ways
    "SELECT $$a$$",
    "SELECT 1 # comment",
    "SELECT \u2018file\u2019",
    "SELECT 'a",
    "SELECT /* 1",
    "SELECT \"a\\\"b\"",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    "SELECT " + "1 + " * 30_000 + "1",
    "\x00",
]  # fmt: skip


def test_the_engine_by_itself_would_read_any_file(engine: Engine, canary: Path) -> None:
    read = engine("default").command("SELECT file({path:String})", parameters={"path": str(canary)})

    assert read == SECRET


@pytest.mark.parametrize("sql", BREAK_OUTS)
def test_a_statement_that_does_more_than_read_our_tables_is_refused(
    http: TestClient, canary: Path, sql: str
) -> None:
    before = sorted(canary.parent.iterdir())

    answered = http.post("/", content=sql.replace("{canary}", str(canary)).encode())

    assert answered.status_code in (400, 403, 404)
    assert int(answered.headers["x-clickhouse-exception-code"]) in (62, 497, 60)
    assert SECRET in sql or SECRET not in answered.text
    assert canary.read_text() == SECRET
    assert sorted(canary.parent.iterdir()) == before


@given(data=st.data(), sql=st.sampled_from([sql for sql in BREAK_OUTS if "{canary}" in sql]))
def test_spaces_comments_and_letter_case_hide_nothing(data: st.DataObject, sql: str) -> None:
    hidden = "".join(
        token.text + data.draw(st.sampled_from(["", " ", "\n", "/**/", "-- x\n"]))
        for token in tokens(sql)
    )
    turned = data.draw(st.sampled_from([str, str.swapcase, str.upper]))(hidden)

    with pytest.raises(StatementRefusedError):
        Guard(DATABASE, Functions.of(FUNCTIONS)).admit(turned, "TabSeparated")


def test_a_parameter_is_never_a_name(http: TestClient, canary: Path) -> None:
    for sql in ("SELECT * FROM {t:Identifier}", "SELECT * FROM default.{t:Identifier}"):
        answered = http.post("/", params={"param_t": str(canary)}, content=sql.encode())

        assert answered.status_code == 403
        assert SECRET not in answered.text


def test_settings_in_the_url_change_nothing(http: TestClient) -> None:
    query = "SELECT value FROM system.settings WHERE name = 'readonly'"

    assert http.get("/", params={"query": query, "readonly": "0"}).text == "1\n"


def test_another_database_in_the_url_is_not_here(http: TestClient) -> None:
    answered = http.get("/", params={"query": "SELECT 1", "database": "system"})

    assert (answered.status_code, answered.headers["x-clickhouse-exception-code"]) == (404, "81")


def test_a_result_without_end_is_ended(http: TestClient) -> None:
    answered = http.get("/", params={"query": "SELECT number FROM numbers(100000000)"})

    assert answered.status_code == 500
    assert answered.headers["x-clickhouse-exception-code"] == "396"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "127.0.0.1.attacker.example:8123"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Host": "[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_web_page_cannot_ask_through_the_browser(
    http: TestClient, headers: dict[str, str]
) -> None:
    answered = http.get("/", params={"query": "SELECT 1"}, headers=headers)

    assert answered.status_code == 403


@pytest.mark.parametrize("sql", ["SELECT 1 FORMAT CapnProto", "SELECT 1 FORMAT Template"])
def test_a_format_that_reads_files_is_refused(http: TestClient, sql: str) -> None:
    assert http.post("/", content=sql.encode()).status_code == 403


def test_nothing_but_get_and_post_is_answered(http: TestClient) -> None:
    statuses: list[Any] = [http.request(m, "/").status_code for m in ("PUT", "DELETE", "PATCH")]

    assert statuses == [405, 405, 405]


class Connection:
    """A connection whose statements may ask the endpoint to close while they run."""

    def __init__(self) -> None:
        self.closed = False
        self.meanwhile: Callable[[], None] = lambda: None

    def query(self, query: str, format: str, params: Mapping[str, str]) -> Any:
        self.meanwhile()
        assert not self.closed
        return self

    def bytes(self) -> bytes:
        return b""

    def close(self) -> None:
        self.closed = True


def test_an_endpoint_that_closes_leaves_no_connection_open() -> None:
    connection = Connection()
    statements = Statements(lambda: connection, DATABASE, {})
    statements.run("SELECT 1", "TSV", {})

    statements.close()

    assert connection.closed


def test_a_connection_that_runs_a_statement_is_closed_when_the_statement_has_ended() -> None:
    connection = Connection()
    statements = Statements(lambda: connection, DATABASE, {})
    connection.meanwhile = statements.close

    statements.run("SELECT 1", "TSV", {})

    assert connection.closed


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:8123"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_a_browser_of_this_machine_may_ask(http: TestClient, headers: dict[str, str]) -> None:
    assert http.get("/", params={"query": "SELECT 1"}, headers=headers).status_code == 200


@pytest.mark.parametrize("query", ["SELECT 'alert(1)'", "SELECT nothing"])
def test_an_answer_is_no_script_of_a_page(http: TestClient, query: str) -> None:
    answered = http.get("/", params={"query": query})

    assert answered.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"SELECT 1 WHERE number = 1")[:-8],
        gzip.compress(b"SELECT 1") + gzip.compress(b" WHERE 0"),
        b"",
    ],
    ids=["cut off", "two members", "nothing"],
)
def test_half_of_a_compressed_query_is_not_run(http: TestClient, body: bytes) -> None:
    answered = http.post("/", content=body, headers={"Content-Encoding": "gzip"})

    assert (answered.status_code, answered.headers["x-clickhouse-exception-code"]) == (400, "36")


def test_text_of_any_alphabet_in_the_url_is_answered(http: TestClient) -> None:
    odd = {"query_id": "\u20ac\r\nx: y", "client_protocol_version": "\u00b2"}

    for query, status in (("SELECT 1", 200), ("SELECT nothing", 500)):
        answered = http.get("/", params={"query": query, **odd})

        assert answered.status_code == status
        assert answered.headers["x-clickhouse-query-id"] == "???x: y"


def test_a_form_that_is_not_utf8_is_read_as_far_as_it_can_be(http: TestClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    answered = http.post("/", content=b"query=SELECT 1 AS x -- \xff", headers=form)

    assert answered.text == "1\n"


def test_others_are_answered_while_a_large_result_is_compressed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = Event(), Event()

    def hold(content: bytes, compresslevel: int) -> bytes:
        entered.set()
        leave.wait(10)
        return zlib.compress(content, compresslevel, wbits=31)

    monkeypatch.setattr(gzip, "compress", hold)
    large = Request(
        f"http://127.0.0.1:{port}/?query=SELECT+number+FROM+numbers(10000)",
        headers={"Accept-Encoding": "gzip"},
    )
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(lambda: urlopen(large, timeout=20).read())  # noqa: S310 - loopback
        assert entered.wait(10)
        with urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as ping:
            assert ping.read() == b"Ok.\n"
        leave.set()
        assert gzip.decompress(reading.result()).endswith(b"\n9999\n")
