"""The sections of the configuration: every key with its meaning, unit, default and bounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farebox_processor.config_values import Secret, setting

__all__ = [
    "AttributesConfig",
    "ClickHouseEndpointConfig",
    "DialectsConfig",
    "DimensionsConfig",
    "ExportConfig",
    "FlushConfig",
    "LiveConfig",
    "LogConfig",
    "PlansConfig",
    "PricesConfig",
    "ServerConfig",
    "StoreConfig",
    "TenantsConfig",
    "Token",
]

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where the rows go."""

    dsn: Secret = setting(  # noqa: RUF009 - a Secret is frozen
        Secret("embedded:farebox-data"),
        "ClickHouse: clickhouse://user:password@host:8123, https://..., or embedded:PATH for the"
        " engine in this process.",
    )
    database: str = setting("farebox", "Database of all tables.")
    evidence: str = setting(
        "genai",
        "Which spans are also kept as they came, in otel_traces: all of them, those of GenAI"
        " libraries, or none.",
        choices=("all", "genai", "none"),
    )
    content: bool = setting(
        False, "Keep prompts and answers too, where senders record them, in otel_traces."
    )


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The listeners and their limits."""

    host: str = setting("127.0.0.1", "Address that OTLP is received on.")
    grpc_port: int = setting(
        4317, "Port of OTLP/gRPC; 0 takes a free one.", at_least=0, at_most=65_535
    )
    http_port: int = setting(
        4318, "Port of OTLP/HTTP; 0 takes a free one.", at_least=0, at_most=65_535
    )
    admin_host: str = setting("127.0.0.1", "Address of /healthz, /readyz and /metrics.")
    admin_port: int = setting(
        8888, "Port of the same; 0 takes a free one.", at_least=0, at_most=65_535
    )
    tls_cert_file: str | None = setting(None, "PEM certificate of both OTLP listeners.")
    tls_key_file: str | None = setting(None, "PEM key of the certificate.")
    tls_client_ca_file: str | None = setting(
        None, "PEM authorities; with it, senders must show a certificate of one of them (mTLS)."
    )
    insecure: bool = setting(
        False, "Allow an address beyond this machine without both TLS and tokens."
    )
    max_request_bytes: int = setting(
        16 * _MIB, "Largest request, in bytes after decompression.", at_least=1, at_most=64 * _MIB
    )
    max_in_flight_bytes: int = setting(
        256 * _MIB,
        "Received and not yet answered; above it senders are asked to wait. With tokens, half of it"
        " is the most that one tenant may have.",
        at_least=1,
    )
    answer_within_ms: int = setting(
        4_000, "Longest wait for an answer; then the sender is asked to try again.", at_least=1
    )
    header_timeout_s: int = setting(
        10, "Time for the header of an HTTP request, in seconds.", at_least=1
    )
    body_timeout_s: int = setting(
        30, "Time for the body of an HTTP request, in seconds.", at_least=1
    )
    handshake_timeout_ms: int = setting(
        5_000, "Time for the handshake of a gRPC connection, in milliseconds.", at_least=1
    )
    idle_timeout_ms: int = setting(
        300_000, "A gRPC connection without calls is closed after this time.", at_least=1
    )
    max_connection_age_ms: int = setting(
        600_000, "A gRPC connection is renewed after this time, to spread senders.", at_least=1
    )
    shutdown_grace_s: int = setting(
        25, "Time for what is in flight when the server is told to stop, in seconds.", at_least=0
    )


@dataclass(frozen=True, slots=True)
class FlushConfig:
    """How requests are gathered into one insert."""

    interval_ms: int = setting(
        200, "How long the first request waits for others; 0 does not wait.", at_least=0
    )
    max_bytes: int = setting(32 * _MIB, "A flush starts early at this size.", at_least=1)
    max_requests: int = setting(512, "A flush starts early at this many requests.", at_least=1)


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """The traces that are kept in memory while their spans arrive."""

    max_spans: int = setting(
        1_250_000, "Spans of all live traces together, about 200 bytes each.", at_least=1
    )
    idle_s: int = setting(
        3_600, "A trace is let go when others are so many seconds further.", at_least=1
    )
    max_remembered_traces: int = setting(
        250_000,
        "Traces whose cost is remembered to attach what a conversation cost so far, about 150 bytes"
        " each.",
        at_least=1,
    )
    repair_interval_s: int = setting(
        60, "How often rows are compared with their spans and mended, in seconds.", at_least=1
    )
    repair_horizon_s: int = setting(
        86_400, "What was stored in so many seconds before a start is compared then.", at_least=1
    )


@dataclass(frozen=True, slots=True)
class AttributesConfig:
    """What is attached to spans besides the attributes `farebox.*`."""

    proposed_names: bool = setting(
        False, "Attach gen_ai.usage.cost.amount, .currency and .source too, on inference spans."
    )


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """Where the spans go as well, over OTLP/gRPC, with what was attached to them."""

    endpoint: str | None = setting(
        None, "Address of a collector or backend, as collector:4317; without it, nothing is sent."
    )
    insecure: bool = setting(False, "Send in plain text, without TLS.")
    headers: Secret = setting(  # noqa: RUF009 - a Secret is frozen
        Secret(""), "What to send along, as `authorization=Bearer secret,x-scope=traces`."
    )
    queue_max_bytes: int = setting(
        64 * _MIB, "What may wait to be sent; spans that find no room are dropped.", at_least=1
    )


@dataclass(frozen=True, slots=True)
class PricesConfig:
    """Price files on top of the ones that are delivered with farebox."""

    overlays: tuple[Path, ...] = setting((), "Files of list prices; the last one wins.")
    contracts: tuple[Path, ...] = setting((), "Files of contracts: discounts and prices by tenant.")
    aliases: tuple[Path, ...] = setting((), "Files of other names for models.")
    trusted_costs: tuple[str, ...] = setting(
        ("openrouter",),
        "Whose supplied costs win over known prices: providers, names of attributes, or *; of all"
        " others they are kept beside ours and compared.",
    )


@dataclass(frozen=True, slots=True)
class PlansConfig:
    """Tiers, actions and budgets."""

    paths: tuple[Path, ...] = setting((), "Files of plans, by tenant and feature.")


@dataclass(frozen=True, slots=True)
class DialectsConfig:
    """How attributes of spans are read."""

    paths: tuple[Path, ...] = setting((), "Files of dialects beside the ones delivered.")


@dataclass(frozen=True, slots=True)
class DimensionsConfig:
    """What costs are grouped by, beside the dimensions that are built in."""

    extra: Mapping[str, tuple[str, ...]] = setting(
        {},
        "Names, at most 16, each with the attributes it is read from: of the span, then of its"
        " resource; farebox.extra.NAME comes first.",
    )


@dataclass(frozen=True, slots=True)
class TenantsConfig:
    """Who may send and read."""

    tokens_file: str | None = setting(
        None,
        "YAML list of {tenant, sha256, scopes}, read again on SIGHUP; without it, no token is"
        " asked for.",
    )


@dataclass(frozen=True, slots=True)
class ClickHouseEndpointConfig:
    """The read-only ClickHouse interface of an embedded store, on this machine only."""

    enabled: bool = setting(False, "Answer queries of Grafana, clients and `farebox` commands.")
    port: int = setting(8123, "Its port; 0 takes a free one.", at_least=0, at_most=65_535)


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The log, one JSON object a line on standard error."""

    level: str = setting("info", "What is logged.", choices=("debug", "info", "warning", "error"))


@dataclass(frozen=True, slots=True)
class Token:
    """A credential: the SHA-256 of a bearer token, whose it is and what it may do."""

    tenant: str
    sha256: str
    scopes: tuple[str, ...] = ("ingest",)
