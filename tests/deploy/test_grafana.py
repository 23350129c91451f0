"""Dashboards and alert rules: every query of theirs is answered, and says what is in the tables."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import yaml
from clickhouse_connect.driver.client import Client
from starlette.testclient import TestClient

from farebox_processor.clickhouse_endpoint import read_only_endpoint
from farebox_processor.dialects import load_dialects
from farebox_processor.live_traces import LiveTraces
from farebox_processor.pipeline import Rules
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.store.loads import store_rules
from farebox_processor.store.migrations import migrate
from farebox_processor.store.writer import Writer
from support.otlp_spans import NOON_NS, OtlpCall, request_of

Answer: TypeAlias = tuple[dict[str, str], list[dict[str, Any]]]
"""The type of each column, and the rows."""
Ask: TypeAlias = Callable[[str], Answer]
Store: TypeAlias = Callable[..., None]

FOLDER: Final = Path(__file__).parents[2] / "deploy/grafana"
NOON_S: Final = NOON_NS // 10**9
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
TIME_SERIES, TABLE, TRACES = 0, 1, 3
# What the plugin's trace view cannot do without.
TRACE_COLUMNS: Final = {"traceID", "spanID", "parentSpanID", "serviceName", "operationName"}
TRACE_TIMES: Final = {"startTime", "duration"}  # in milliseconds


def read_dashboard(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"dashboards/{name}.json").read_text(encoding="utf-8"))


DASHBOARDS: Final = {name: read_dashboard(name) for name in ("conversations", "conversation")}
PANELS: Final = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
]
VARIABLES: Final = [
    variable
    for dashboard in DASHBOARDS.values()
    for variable in dashboard["templating"]["list"]
    if variable["type"] == "query"
]


def read_provisioning(kind: str) -> dict[str, Any]:
    file = FOLDER / f"provisioning/{kind}/farebox.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


[GROUP] = read_provisioning("alerting")["groups"]
ALERTS: Final = {rule["uid"]: rule for rule in GROUP["rules"]}


def expanded(
    sql: str,
    chosen: Mapping[str, str],
    *,
    since_s: int = NOON_S - HOUR_S,
    until_s: int = NOON_S + HOUR_S,
) -> str:
    """Return a query as Grafana sends it: variables put in, the plugin's macros written out."""

    def narrowed(found: re.Match[str]) -> str:
        return found["condition"] if found["variable"] in chosen else "1=1"

    since, until = f"toDateTime({since_s})", f"toDateTime({until_s})"
    macros = {
        r"\$__conditionalAll\((?P<condition>.*), \$(?P<variable>\w+)\)": narrowed,
        r"\$\{(\w+):singlequote\}": lambda found: f"'{chosen.get(found[1], '')}'",
        r"\$__timeFilter\((\w+)\)": rf"\1 >= {since} AND \1 <= {until}",
        r"\$__timeInterval\((\w+)\)": r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)",
        r"\$__fromTime\b": since,
        r"\$__toTime\b": until,
    }
    for macro, written in macros.items():
        sql = re.sub(macro, written, sql)
    return sql


def chat(number: int, dollars: str, *, at_s: int = 0, feature: str | None = None) -> OtlpCall:
    """A conversation of one call that costs so much: a million tokens of output are $10."""
    return OtlpCall(
        trace=number,
        span=number,
        input_tokens=0,
        output_tokens=int(Decimal(dollars) * 100_000),
        conversation=f"chat-{number}",
        start_s=at_s,
        end_s=at_s + 1,
        feature=feature,
    )


def storing(client: Client) -> Store:
    """Return a function that stores calls of the tenant acme as the server does."""
    rules = Rules(dialects=load_dialects(), book=load_price_book(), plans=load_plans())
    store_rules(client, rules)
    ingest = Ingest(Writer(client), rules, LiveTraces(10_000), Metrics(), "all")

    def store(*calls: OtlpCall, model: bytes = b"gpt-4o") -> None:
        # Of the same length, so that the lengths around it stay right.
        body = request_of(calls).replace(b"gpt-4o", model)
        ingest.flush([body], ["acme"])
        ingest.follow_up()

    return store


@contextmanager
def asking(engine_dsn: str, database: str) -> Iterator[Ask]:
    """Ask the endpoint, whose answers are those of ClickHouse and which runs nothing but reads."""
    with read_only_endpoint(engine_dsn, database) as application:
        http = TestClient(application, base_url="http://127.0.0.1:8123")

        def ask(sql: str) -> Answer:
            answered = http.post("/", params={"default_format": "JSON"}, content=sql.encode())
            assert answered.status_code == 200, f"{answered.text}\n{sql}"
            told = answered.json()
            return {column["name"]: column["type"] for column in told["meta"]}, told["data"]

        yield ask


@pytest.fixture
def store(client: Client) -> Store:
    return storing(client)


@pytest.fixture
def ask(engine_dsn: str, database: str) -> Iterator[Ask]:
    with asking(engine_dsn, database) as ask:
        yield ask


@pytest.fixture(scope="module")
def ask_empty(engine: Callable[[str], Client], engine_dsn: str) -> Iterator[Ask]:
    """Of a database in which nothing is stored."""
    migrate(engine("grafana_empty"), "grafana_empty")
    with asking(engine_dsn, "grafana_empty") as ask:
        yield ask


@pytest.fixture(scope="module")
def ask_full(engine: Callable[[str], Client], engine_dsn: str) -> Iterator[Ask]:
    """Of a database with three conversations: $0.04, $0.04 and $0.40."""
    client = engine("grafana_full")
    migrate(client, "grafana_full")
    client.command("ALTER TABLE otel_traces REMOVE TTL")
    storing(client)(
        chat(1, "0.04", feature="search"),
        chat(2, "0.04", at_s=60),
        chat(3, "0.40", at_s=120, feature="search"),
    )
    with asking(engine_dsn, "grafana_full") as ask:
        yield ask


def panel_called(title: str) -> dict[str, Any]:
    [panel] = [
        panel
        for board in DASHBOARDS.values()
        for panel in board["panels"]
        if panel["title"] == title
    ]
    return panel


def rows_of(ask: Ask, title: str, **chosen: str) -> list[dict[str, Any]]:
    return ask(expanded(panel_called(title)["targets"][0]["rawSql"], chosen))[1]


def found(ask: Ask, uid: str, *, at_s: int) -> list[dict[str, Any]]:
    """Return what a rule finds when Grafana evaluates it so many seconds after noon."""
    query = ALERTS[uid]["data"][0]
    until_s = NOON_S + at_s
    since_s = until_s - query["relativeTimeRange"]["from"]
    return ask(expanded(query["model"]["rawSql"], {}, since_s=since_s, until_s=until_s))[1]


ONE = {"tenant": "acme", "conversation": "chat-3", "trace": chat(3, "0.40").trace_id}


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize(
    "chosen", [ONE, ONE | {"feature": "search"}], ids=["every feature", "one feature"]
)
def test_every_panel_shows_what_is_stored(
    ask_full: Ask, panel: dict[str, Any], chosen: dict[str, str]
) -> None:
    [target] = panel["targets"]

    columns, rows = ask_full(expanded(target["rawSql"], chosen))

    assert rows
    types = list(columns.values())
    if target["format"] == TRACES:
        assert columns.keys() > TRACE_COLUMNS | TRACE_TIMES
        assert {columns[name] for name in TRACE_TIMES} == {"Float64"}
    else:
        assert not [kind for kind in types if re.search("Array|Map|Tuple", kind)]
    if target["format"] == TIME_SERIES:
        assert types[0].startswith("DateTime")
        assert all("Decimal" in kind for kind in types[1:] if "String" not in kind)


@pytest.mark.parametrize("panel", PANELS)
def test_no_panel_fails_where_nothing_is_stored(ask_empty: Ask, panel: dict[str, Any]) -> None:
    [target] = panel["targets"]

    ask_empty(expanded(target["rawSql"], {}))


def test_the_totals_are_those_of_the_conversations(ask_full: Ask) -> None:
    [row] = rows_of(ask_full, "Conversations in this time")

    # Two of 4 000 tokens are sold as simple, one of 40 000 as complex: $0.02 + $0.02 + $0.15.
    assert row == {
        "Conversations": 3,
        "Cost": 0.48,
        "Median cost": 0.04,
        "95th percentile": 0.4,
        "Revenue": 0.19,
        "Margin": -0.29,
        "Waste": 0,
        "Exact": 1,
        "Calls without a price": 0,
    }


def test_the_costliest_conversation_leads_to_its_calls(ask_full: Ask) -> None:
    first = rows_of(ask_full, "Costliest conversations")[0]
    link = json.dumps(panel_called("Costliest conversations")["fieldConfig"]["overrides"])

    [call] = rows_of(ask_full, "Calls", tenant=first["Tenant"], conversation=first["Conversation"])

    assert (first["Conversation"], first["Cost"]) == ("chat-3", 0.4)
    assert (call["Output"], call["Cost"], call["Verdict"]) == (40_000, 0.4, "exact")
    assert DASHBOARDS["conversation"]["uid"] in link
    for field in set(re.findall(r"__data\.fields\.(\w+)", link)):
        assert field in first
    assert set(re.findall(r"var-(\w+)=", link)) == {"tenant", "conversation"}


def test_a_chosen_feature_leaves_the_others_out(ask_full: Ask) -> None:
    assert [row["Cost"] for row in rows_of(ask_full, "Features", feature="search")] == [0.44]


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable["name"])
def test_a_variable_offers_what_is_stored(ask_full: Ask, variable: dict[str, Any]) -> None:
    offered = {"tenant": ["acme"], "feature": ["(none)", "search"]}

    columns, rows = ask_full(expanded(variable["query"]["rawSql"], {}))

    [name] = columns
    assert [row[name] for row in rows] == offered[variable["name"]]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_finds_the_data_source_it_is_given(name: str) -> None:
    dashboard = DASHBOARDS[name]
    plugin = read_provisioning("datasources")["datasources"][0]["type"]
    asked = [
        *(panel["datasource"] for panel in dashboard["panels"]),
        *(target["datasource"] for panel in dashboard["panels"] for target in panel["targets"]),
        *(one["datasource"] for one in dashboard["templating"]["list"] if one["type"] == "query"),
    ]

    assert dashboard["templating"]["list"][0]["query"] == plugin
    assert all(one == {"type": plugin, "uid": "${datasource}"} for one in asked)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_lie_beside_one_another_in_the_grid(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )


@pytest.mark.parametrize("panel", PANELS)
def test_a_unit_is_set_for_columns_that_there_are(ask_full: Ask, panel: dict[str, Any]) -> None:
    columns, _ = ask_full(expanded(panel["targets"][0]["rawSql"], ONE))

    named = [one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]]
    assert set(named) <= set(columns)


def test_the_chat_that_costs_ten_times_the_usual_is_found(store: Store, ask: Ask) -> None:
    store(*(chat(number, "0.04", at_s=-number * 60) for number in range(1, 6)), chat(9, "0.40"))

    [alert] = found(ask, "farebox-costly-conversation", at_s=MINUTE_S)

    assert alert == {
        "tenant": "acme",
        "feature": "",
        "conversation_id": "chat-9",
        "cost": 0.4,
    }


def test_a_costly_chat_is_found_once_however_often_it_is_sent(store: Store, ask: Ask) -> None:
    usual = [chat(number, "0.04") for number in range(1, 6)]
    store(*usual, chat(9, "0.40"))
    once = found(ask, "farebox-costly-conversation", at_s=MINUTE_S)

    store(chat(9, "0.40"), *usual)

    assert found(ask, "farebox-costly-conversation", at_s=MINUTE_S) == once


def test_what_always_costs_much_is_not_found(store: Store, ask: Ask) -> None:
    dear = [chat(number, "0.40", feature="research") for number in range(1, 6)]
    store(*dear, *(chat(number, "0.04") for number in range(11, 16)))

    assert found(ask, "farebox-costly-conversation", at_s=MINUTE_S) == []


def test_a_chat_of_cents_is_not_found_however_cheap_the_usual_is(store: Store, ask: Ask) -> None:
    store(*(chat(number, "0.001") for number in range(1, 6)), chat(9, "0.09"))

    assert found(ask, "farebox-costly-conversation", at_s=MINUTE_S) == []


def test_a_costly_chat_of_an_hour_ago_is_over(store: Store, ask: Ask) -> None:
    store(*(chat(number, "0.04") for number in range(1, 6)), chat(9, "0.40"))

    assert found(ask, "farebox-costly-conversation", at_s=HOUR_S) == []


def test_a_feature_whose_hour_costs_three_times_the_mean_hour_is_found(
    store: Store, ask: Ask
) -> None:
    # A dollar an hour for a day of the week: 24 / 168, a mean of 14 cents.
    before = [
        chat(number, "1", at_s=-DAY_S - number * HOUR_S, feature="agent") for number in range(24)
    ]
    steady = [chat(100 + n, "2", at_s=-HOUR_S * n - 1800, feature="steady") for n in range(168)]
    store(*before, *steady, chat(999, "1.50", feature="agent"))

    [alert] = found(ask, "farebox-cost-jump", at_s=MINUTE_S)

    assert alert == {"tenant": "acme", "feature": "agent", "cost": 1.5}


def test_a_feature_that_cost_nothing_before_is_found(store: Store, ask: Ask) -> None:
    store(chat(1, "1.50", feature="new"))

    [alert] = found(ask, "farebox-cost-jump", at_s=MINUTE_S)

    assert (alert["feature"], alert["cost"]) == ("new", 1.5)


def test_calls_without_a_price_are_found_with_their_model(store: Store, ask: Ask) -> None:
    store(chat(1, "0.04"))
    store(chat(2, "0.04"), chat(3, "0.04"), model=b"my-4o!")

    [alert] = found(ask, "farebox-unpriced-calls", at_s=MINUTE_S)

    assert alert == {
        "tenant": "acme",
        "provider": "openai",
        "model": "my-4o!-2024-08-06",
        "reason": "unknown_model",
        "calls": 2,
    }


@pytest.mark.parametrize("uid", ALERTS)
def test_a_rule_tells_its_alerts_apart_by_text_and_has_one_number(ask_full: Ask, uid: str) -> None:
    rule = ALERTS[uid]
    query, condition = rule["data"]
    columns, _ = ask_full(expanded(query["model"]["rawSql"], {}))

    numbers = [name for name, kind in columns.items() if re.search("Int|Float|Decimal", kind)]
    assert len(numbers) == 1
    assert "Decimal" not in columns[numbers[0]]
    # A label is text that is there; without it two alerts could be taken for one.
    assert not [kind for kind in columns.values() if "Nullable(String)" in kind]
    said = json.dumps(rule["annotations"])
    assert set(re.findall(r"\$labels\.(\w+)", said)) < set(columns)
    assert "${" not in said, "Grafana would take it for a variable of its environment"
    assert query["model"]["format"] == TABLE
    assert condition["model"]["expression"] == query["refId"]
    assert condition["refId"] == rule["condition"]
    assert len(uid) <= 40


def test_the_queries_of_the_docs_are_answered(ask_full: Ask) -> None:
    text = (FOLDER.parents[1] / "docs/grafana.md").read_text(encoding="utf-8")
    queries = [
        query
        for block in re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
        for query in block.split(";")
        if "FROM" in query
    ]

    assert queries
    for query in queries:
        ask_full(query)


def test_a_costly_conversation_is_a_link_to_its_dashboard() -> None:
    said = ALERTS["farebox-costly-conversation"]["annotations"]["description"]
    variables = {one["name"] for one in DASHBOARDS["conversation"]["templating"]["list"]}

    assert f"{{{{ externalURL }}}}d/{DASHBOARDS['conversation']['uid']}?" in said
    assert set(re.findall(r"var-(\w+)=", said)) <= variables


def test_the_rules_ask_the_data_source_that_is_provisioned() -> None:
    [source] = read_provisioning("datasources")["datasources"]

    asked = {query["datasourceUid"] for rule in ALERTS.values() for query in rule["data"]}

    assert asked == {source["uid"], "__expr__"}
