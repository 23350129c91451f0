"""The configuration: one YAML file and the environment in, one frozen object out.

A key `port` of the section `server` is also read from the variable FAREBOX_SERVER__PORT, which wins
over the file. A secret may be given as a file that holds it: `dsn_file`, FAREBOX_STORE__DSN_FILE.
"""

import typing
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self

import yaml

from farebox_processor.config_sections import (
    AttributesConfig,
    ClickHouseEndpointConfig,
    DialectsConfig,
    DimensionsConfig,
    ExportConfig,
    FlushConfig,
    LiveConfig,
    LogConfig,
    PlansConfig,
    PricesConfig,
    ServerConfig,
    StoreConfig,
    TenantsConfig,
    Token,
)
from farebox_processor.config_values import (
    Secret,
    convert,
    from_text,
    is_secret,
    shown,
    unknown_key,
)
from farebox_processor.errors import ConfigError
from farebox_processor.extra_dimensions import check_extra_dimensions

__all__ = [
    "AttributesConfig",
    "ClickHouseEndpointConfig",
    "Config",
    "DialectsConfig",
    "DimensionsConfig",
    "ExportConfig",
    "FlushConfig",
    "LiveConfig",
    "LogConfig",
    "PlansConfig",
    "PricesConfig",
    "Secret",
    "ServerConfig",
    "StoreConfig",
    "TenantsConfig",
    "Token",
    "is_loopback",
]

_PREFIX: Final = "FAREBOX_"
_FILE_VARIABLE: Final = "FAREBOX_CONFIG"


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, and where each value of it came from."""

    store: StoreConfig = field(default_factory=StoreConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    flush: FlushConfig = field(default_factory=FlushConfig)
    live: LiveConfig = field(default_factory=LiveConfig)
    attributes: AttributesConfig = field(default_factory=AttributesConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    prices: PricesConfig = field(default_factory=PricesConfig)
    plans: PlansConfig = field(default_factory=PlansConfig)
    dialects: DialectsConfig = field(default_factory=DialectsConfig)
    dimensions: DimensionsConfig = field(default_factory=DimensionsConfig)
    tenants: TenantsConfig = field(default_factory=TenantsConfig)
    clickhouse_endpoint: ClickHouseEndpointConfig = field(default_factory=ClickHouseEndpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    tokens: tuple[Token, ...] = field(default=(), repr=False)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, path: Path | None, environ: Mapping[str, str]) -> Self:
        """Read the file (or the one named by FAREBOX_CONFIG, or none) and the environment.

        Raises ConfigError, in one sentence, for whatever cannot be used.
        """
        if path is None and environ.get(_FILE_VARIABLE):
            path = Path(environ[_FILE_VARIABLE])
        written = _read_sections(path) if path else {}
        _refuse_unknown_variables(environ)
        origins: dict[str, str] = {}
        sections: dict[str, Any] = {
            name: _section(name, section, written.get(name, {}), environ, origins)
            for name, section in _SECTIONS.items()
        }
        config = cls(
            **sections, tokens=_read_tokens(sections["tenants"].tokens_file), origins=origins
        )
        _check(config)
        return config

    def read_tokens(self) -> tuple[Token, ...]:
        """Read the file of tokens as it is now; none where no file is named.

        Raises ConfigError where it cannot be used: an empty file would let everybody in.
        """
        return _read_tokens(self.tenants.tokens_file)

    def describe(self) -> str:
        """Return the configuration in effect as YAML, with meanings and origins as comments."""
        return "\n".join(_described(self)) + "\n"


_SECTIONS: Final[Mapping[str, type[Any]]] = {
    name: annotation
    for name, annotation in typing.get_type_hints(Config).items()
    if name not in ("tokens", "origins")
}


def is_loopback(host: str) -> bool:
    """Tell whether an address can only be reached from this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_sections(path: Path) -> dict[str, dict[str, object]]:
    content = _read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: expected sections like 'server:', found {type(content).__name__}"
        )
    for name, section in content.items():
        if name not in _SECTIONS:
            raise unknown_key(str(path), str(name), _SECTIONS)
        if section is not None and not isinstance(section, dict):
            raise ConfigError(f"{path}: expected keys below {name!r}, found {section!r}")
    return {name: section or {} for name, section in content.items()}


def _section(
    name: str,
    section: type[Any],
    written: Mapping[str, object],
    environ: Mapping[str, str],
    origins: dict[str, str],
) -> Any:
    annotations = typing.get_type_hints(section)
    declared = {one.name: one for one in fields(section)}
    accepted = {*declared, *(f"{key}_file" for key in declared if is_secret(annotations[key]))}
    for key in written:
        if key not in accepted:
            raise unknown_key(f"section {name!r}", str(key), accepted)
    values: dict[str, object] = {}
    for key, one in declared.items():
        given = _given(name, key, annotations[key], written, environ)
        if given is not None:
            value, origins[f"{name}.{key}"] = given
            values[key] = convert(value, annotations[key], one, f"{name}.{key}")
    return section(**values)


def _given(
    section: str,
    key: str,
    annotation: Any,
    written: Mapping[str, object],
    environ: Mapping[str, str],
) -> tuple[object, str] | None:
    """Return the value of a key and where it came from; None leaves the default."""
    variable = f"{_PREFIX}{section}__{key}".upper()
    if variable in environ:
        return from_text(environ[variable], annotation), f"environment {variable}"
    if is_secret(annotation) and f"{variable}_FILE" in environ:
        return _read_text(environ[f"{variable}_FILE"]), f"environment {variable}_FILE"
    if written.get(key) is not None:
        return written[key], "file"
    if is_secret(annotation) and written.get(f"{key}_file") is not None:
        return _read_text(str(written[f"{key}_file"])), f"file, {key}_file"
    return None


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {
        f"{_PREFIX}{name}__{key}{suffix}".upper()
        for name, section in _SECTIONS.items()
        for key, annotation in typing.get_type_hints(section).items()
        for suffix in (("", "_file") if is_secret(annotation) else ("",))
    }
    for variable in environ:
        # Other variables of that prefix belong to the instrumentation.
        if variable.startswith(_PREFIX) and "__" in variable and variable not in known:
            raise unknown_key("environment", variable, known)


def _read_tokens(path: str | None) -> tuple[Token, ...]:
    if path is None:
        return ()
    entries = _read_yaml(Path(path))
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path}: expected a list of {{tenant, sha256, scopes}}")
    tokens = tuple(_token(path, entry) for entry in entries)
    whose: dict[str, str] = {}
    for token in tokens:
        if whose.setdefault(token.sha256, token.tenant) != token.tenant:
            raise ConfigError(
                f"{path}: one token is of two tenants, {whose[token.sha256]!r} and {token.tenant!r}"
            )
    return tokens


def _token(path: str, entry: object) -> Token:
    if not isinstance(entry, dict) or not {"tenant", "sha256"} <= entry.keys():
        raise ConfigError(f"{path}: each token needs 'tenant' and 'sha256'")
    for key in entry:
        if key not in ("tenant", "sha256", "scopes"):
            raise unknown_key(path, str(key), ("tenant", "sha256", "scopes"))
    digest = str(entry["sha256"]).lower()
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ConfigError(f"{path}: 'sha256' of {entry['tenant']!r} must be 64 hexadecimal digits")
    scopes = entry.get("scopes", ["ingest"])
    if not isinstance(scopes, list):
        raise ConfigError(f"{path}: 'scopes' must be a list, found {scopes!r}")
    return Token(str(entry["tenant"]), digest, tuple(map(str, scopes)))


def _check(config: Config) -> None:
    server = config.server
    if (server.tls_cert_file is None) != (server.tls_key_file is None):
        raise ConfigError("server: tls_cert_file and tls_key_file must be given together")
    if server.tls_client_ca_file and not server.tls_cert_file:
        raise ConfigError("server: tls_client_ca_file needs tls_cert_file and tls_key_file")
    guarded = server.tls_cert_file and (config.tokens or server.tls_client_ca_file)
    if not is_loopback(server.host) and not guarded and not server.insecure:
        raise ConfigError(
            f"server.host: {server.host} can be reached from other machines; give tls_cert_file,"
            " tls_key_file and tenants.tokens_file, or say `insecure: true`"
        )
    _check_export(config)
    check_extra_dimensions(config.dimensions.extra)


def _check_export(config: Config) -> None:
    endpoint = config.export.endpoint
    if endpoint is None:
        return
    host, _, port = endpoint.rpartition(":")
    if not host or "/" in endpoint or not port.isdecimal():
        raise ConfigError(f"export.endpoint: expected host:port, found {endpoint!r}")
    is_own = is_loopback(host.strip("[]")) or host == config.server.host
    if is_own and int(port) == config.server.grpc_port:
        raise ConfigError("export.endpoint: this server would send every span to itself, for ever")
    for pair in filter(None, config.export.headers.reveal().split(",")):
        if "=" not in pair:
            raise ConfigError("export.headers: expected name=value, separated by commas")


def _read_yaml(path: Path) -> object:
    try:
        return typing.cast("object", yaml.safe_load(_read_text(str(path))))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _described(config: Config) -> Iterator[str]:
    for name, section in _SECTIONS.items():
        yield f"# {section.__doc__}"
        yield f"{name}:"
        for one in fields(section):
            value = getattr(getattr(config, name), one.name)
            yield from _described_key(one, value, config.origins.get(f"{name}.{one.name}"))
        yield ""


def _described_key(declared: Field[Any], value: object, origin: str | None) -> Iterator[str]:
    yield f"  # {declared.metadata['meaning']}"
    yield f"  {declared.name}: {shown(value)}  # {origin or 'default'}"
