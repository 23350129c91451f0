"""The configuration: a file, the environment, and what is said when one of them is wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from farebox_processor.config import (
    Config,
    DimensionsConfig,
    PricesConfig,
    Secret,
    ServerConfig,
    StoreConfig,
    Token,
)
from farebox_processor.errors import ConfigError

DIGEST = "0a367b92cf0b037dfd89960ee832d56f7fc151681bb41e53690e776f5786998a"


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a configuration from the text of a file and variables."""

    def load_text(text: str, **environ: str) -> Config:
        path = tmp_path / "farebox.yaml"
        path.write_text(text)
        return Config.load(path, environ)

    return load_text


def test_without_a_file_and_variables_everything_has_its_default():
    config = Config.load(None, {"PATH": "/bin", "FAREBOX_CAPTURE": "instrumentation's own"})

    assert config == Config()
    assert config.server == ServerConfig(
        host="127.0.0.1",
        grpc_port=4317,
        http_port=4318,
        admin_port=8888,
        max_request_bytes=16 * 1024 * 1024,
        max_in_flight_bytes=256 * 1024 * 1024,
        answer_within_ms=4_000,
        shutdown_grace_s=25,
    )


def test_the_environment_wins_over_the_file_which_wins_over_the_default(load):
    config = load(
        "server: {grpc_port: 1, http_port: 2}\nstore: {evidence: none}",
        FAREBOX_SERVER__GRPC_PORT="3",
    )

    assert config == Config(
        store=StoreConfig(evidence="none"), server=ServerConfig(grpc_port=3, http_port=2)
    )
    assert config.origins == {
        "server.grpc_port": "environment FAREBOX_SERVER__GRPC_PORT",
        "server.http_port": "file",
        "store.evidence": "file",
    }


def test_lists_can_be_given_in_both_places(load):
    from_file = load("prices: {overlays: [a.yaml, b.yaml], aliases: [c.yaml]}")
    from_environment = load(
        "",
        FAREBOX_PRICES__OVERLAYS="a.yaml, b.yaml",
        FAREBOX_PRICES__ALIASES="c.yaml",
    )

    expected = PricesConfig(overlays=(Path("a.yaml"), Path("b.yaml")), aliases=(Path("c.yaml"),))
    assert (from_file.prices, from_environment.prices) == (expected, expected)


def test_configured_dimensions_are_names_with_the_attributes_they_are_read_from(load):
    from_file = load(
        "dimensions: {extra: {region: [app.region, customer.region], team: app.team, campaign: }}"
    )
    from_environment = load(
        "",
        FAREBOX_DIMENSIONS__EXTRA="{region: [app.region, customer.region], team: [app.team],"
        " campaign: []}",
    )

    expected = DimensionsConfig(
        extra={"region": ("app.region", "customer.region"), "team": ("app.team",), "campaign": ()}
    )
    assert (from_file.dimensions, from_environment.dimensions) == (expected, expected)
    shown = yaml.safe_load(from_file.describe())
    assert shown["dimensions"]["extra"] == {
        "region": ["app.region", "customer.region"],
        "team": ["app.team"],
        "campaign": [],
    }


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("{Region: []}", "found the name 'Region'; write lower case letters, digits and _"),
        ("{7th: []}", "found the name '7th'"),
        ("{feature: []}", "'feature' is a column of conversations already; choose another name"),
        ("{tier: []}", "'tier' is a column of conversations already"),
        ("{region: 7}", "dimensions.extra.region: expected a list of texts, found 7"),
        ("{region: [1]}", "dimensions.extra.region: expected a list of texts, found [1]"),
        ("[region]", "dimensions.extra: expected names with lists of texts, found ['region']"),
        (
            "{" + ", ".join(f"d{number}: []" for number in range(17)) + "}",
            "dimensions.extra: found 17 names; at most 16 are kept",
        ),
    ],
)
def test_dimensions_that_cannot_be_used_are_refused(load, extra, said):
    with pytest.raises(ConfigError) as refused:
        load(f"dimensions: {{extra: {extra}}}")

    assert said in str(refused.value)


def test_the_file_may_be_named_by_the_environment(tmp_path):
    path = tmp_path / "farebox.yaml"
    path.write_text("log: {level: debug}")

    config = Config.load(None, {"FAREBOX_CONFIG": str(path)})

    assert config.log.level == "debug"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sever: {}", "'sever' is not known; did you mean 'server'?"),
        ("server: {grpc_prot: 1}", "'grpc_prot' is not known; did you mean 'grpc_port'?"),
        ("server: {grpc_port: many}", "server.grpc_port: expected a whole number, found 'many'"),
        ("server: {grpc_port: yes}", "server.grpc_port: expected a whole number, found True"),
        ("server: {grpc_port: -1}", "server.grpc_port: must be at least 0, found -1"),
        ("server: {grpc_port: 65536}", "server.grpc_port: must be at most 65535, found 65536"),
        ("server: {max_request_bytes: 100000000}", "must be at most 67108864"),
        ("server: {insecure: 1}", "server.insecure: expected true or false, found 1"),
        ("server: 4317", "expected keys below 'server', found 4317"),
        ("store: {evidence: some}", "store.evidence: expected one of all, genai, none, found some"),
        ("store: {dsn: 5}", "store.dsn: expected a text, found int"),
        ("prices: {overlays: a.yaml}", "prices.overlays: expected a list of texts, found 'a.yaml'"),
        ("- server", "expected sections like 'server:', found list"),
        ("server: {", "not YAML"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_was_expected(text, message, load):
    with pytest.raises(ConfigError) as error:
        load(text)

    assert message in str(error.value)


def test_an_unknown_variable_is_named_with_the_one_that_was_meant(load):
    with pytest.raises(ConfigError, match=r"did you mean 'FAREBOX_SERVER__GRPC_PORT'\?"):
        load("", FAREBOX_SERVER__GRPC_PROT="1")


def test_a_secret_may_be_given_as_a_file(load, tmp_path):
    secret = tmp_path / "dsn"
    secret.write_text("clickhouse://farebox:hunter2@db:8123\n")

    by_variable = load("", FAREBOX_STORE__DSN_FILE=str(secret))
    by_key = load(f"store: {{dsn_file: {secret}}}")

    dsns = [config.store.dsn.reveal() for config in (by_variable, by_key)]
    assert dsns == ["clickhouse://farebox:hunter2@db:8123"] * 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clickhouse://farebox:hunter2@db:8123/x", "clickhouse://farebox:***@db:8123/x"),
        ("https://u:hunter2@db/x?password=hunter2", "https://u:***@db/x"),
        ("clickhouse://u:hunter2@hunter2@db", "clickhouse://u:***@db"),
        ("embedded:/var/lib/farebox", "embedded:/var/lib/farebox"),
        ("hunter2", "***"),
    ],
)
def test_a_secret_is_never_shown(text, shown):
    secret = Secret(text)

    assert (str(secret), f"{secret}", repr(secret)) == (shown, shown, f"Secret({shown!r})")


def test_the_description_can_be_loaded_again_and_shows_meaning_origin_and_no_secret(load):
    config = load(
        "server: {grpc_port: 1}\nprices: {aliases: [c.yaml]}",
        FAREBOX_STORE__DSN="clickhouse://u:hunter2@db",
    )

    described = config.describe()

    assert "  grpc_port: 1  # file\n" in described
    assert "  # Port of OTLP/HTTP; 0 takes a free one.\n  http_port: 4318  # default\n" in described
    assert "  dsn: clickhouse://u:***@db  # environment FAREBOX_STORE__DSN\n" in described
    assert "hunter2" not in described + repr(config)
    again = load(described)
    assert replace(again, store=config.store) == config


def test_every_key_has_a_meaning():
    keys = yaml.safe_load(Config().describe())

    lines = Config().describe().splitlines()
    described = sum(line.startswith("  # ") for line in lines)
    assert described == sum(len(section) for section in keys.values())


@pytest.mark.parametrize(
    "text",
    [
        "server: {host: 0.0.0.0}",
        "server: {host: '::'}",
        "server: {host: 192.168.1.1}",
        "server: {host: db.example.com}",
    ],
)
def test_an_address_beyond_this_machine_needs_tls_and_tokens_or_a_word_for_it(text, load):
    with pytest.raises(ConfigError, match="insecure: true"):
        load(text)

    insecure = load(text, FAREBOX_SERVER__INSECURE="true")
    assert insecure.server.insecure


def test_tls_and_tokens_open_an_address_beyond_this_machine(load, tmp_path):
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(f"- {{tenant: acme, sha256: {DIGEST}}}")

    config = load(
        f"server: {{host: 0.0.0.0, tls_cert_file: c, tls_key_file: k}}\n"
        f"tenants: {{tokens_file: {tokens}}}"
    )

    assert config.tokens == (Token("acme", DIGEST, ("ingest",)),)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ("{}", "expected a list"),
        ("[]", "expected a list"),
        ("- {tenant: acme}", "each token needs 'tenant' and 'sha256'"),
        ("- {tenant: acme, sha256: abc}", "must be 64 hexadecimal digits"),
        (f"- {{tenant: a, sha256: {DIGEST}, scope: x}}", "did you mean 'scopes'"),
        (f"- {{tenant: a, sha256: {DIGEST}, scopes: ingest}}", "'scopes' must be a list"),
        (
            f"- {{tenant: a, sha256: {DIGEST}}}\n- {{tenant: b, sha256: {DIGEST.upper()}}}",
            "one token is of two tenants, 'a' and 'b'",
        ),
    ],
)
def test_a_tokens_file_that_cannot_be_used_is_refused(tokens, message, load, tmp_path):
    path = tmp_path / "tokens.yaml"
    path.write_text(tokens)

    with pytest.raises(ConfigError, match=message):
        load(f"tenants: {{tokens_file: {path}}}")


@pytest.mark.parametrize("text", ["server: {tls_cert_file: c}", "server: {tls_client_ca_file: c}"])
def test_half_of_tls_is_refused(text, load):
    with pytest.raises(ConfigError, match="tls_key_file"):
        load(text)


@pytest.mark.parametrize(
    ("export", "told"),
    [
        ("endpoint: collector", "export.endpoint: expected host:port, found 'collector'"),
        (
            "endpoint: 'http://collector:4317'",
            "export.endpoint: expected host:port, found 'http://collector:4317'",
        ),
        (
            "endpoint: 'localhost:4317'",
            "export.endpoint: this server would send every span to itself, for ever",
        ),
        (
            "endpoint: 'collector:4317', headers: hunter2",
            "export.headers: expected name=value, separated by commas",
        ),
    ],
)
def test_an_export_that_cannot_work_is_refused(load, export, told):
    with pytest.raises(ConfigError) as refused:
        load(f"export: {{{export}}}")

    assert str(refused.value) == told
