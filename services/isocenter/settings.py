"""Root settings: composes the sections that each package owns.

Sources, the strongest first: flags, environment (`ISOCENTER_GATEWAY__PORT=11113`), one TOML file,
defaults. Everything is validated before anything is opened; an unknown key is an error.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from isocenter.adapters.settings import ElasticsearchSettings, KafkaSettings, S3Settings
from isocenter.audit.settings import AuditSettings
from isocenter.core.errors import Invalid
from isocenter.gateway.settings import GatewaySettings
from isocenter.indexing.settings import IndexingSettings
from isocenter.ingest.settings import IngestSettings
from isocenter.query.settings import QuerySettings
from isocenter.runtime import listen
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.addresses import names_this_machine
from isocenter.runtime.attribute_settings import AddedAttributes
from isocenter.runtime.limits import LimitSettings
from isocenter.runtime.rpc_settings import RpcSettings
from isocenter.runtime.secret_settings import given, secrets_of
from isocenter.storage.settings import StorageSettings
from isocenter.transcoding.settings import TranscodingSettings
from isocenter.web.settings import WebSettings

PREFIX = "ISOCENTER_"
NESTED = "__"
CONFIG_VARIABLE = "ISOCENTER_CONFIG"

_COLLECTOR = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")

S = TypeVar("S", bound=BaseModel)


class EventSettings(BaseModel):
    """How long the log keeps events that every consumer has done with (of Kafka's topics, what
    `isocenter check --prepare` sets)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_days: float = Field(14, gt=0, description="Days an event is kept.")
    keep_bytes: int = Field(
        10 * 1024**3, gt=0, description="Size of the log beyond which older events go earlier."
    )


class LogSettings(BaseModel):
    """Logging of every process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is written."
    )
    format: Literal["text", "json"] = Field("text", description="For people or for collectors.")


class TelemetrySettings(BaseModel):
    """Traces and metrics of every process, sent to an OpenTelemetry collector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str = Field(
        "",
        description="Where a collector takes OTLP over gRPC, as `http://collector:4317`; `https` "
        "for TLS. Empty: no telemetry.",
    )
    sample: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Part of the traces that is recorded. One that a caller began is recorded if "
        "the caller records it.",
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str) -> str:
        if endpoint and not _COLLECTOR.fullmatch(endpoint):
            raise ValueError("this is no address of a collector; write http://host:4317")
        return endpoint


class MonitorSettings(BaseModel):
    """An HTTP port for probes and Prometheus: `/livez`, `/readyz`, `/metrics`. Each process of
    `isocenter run` has its own; `isocenter up` has one for all its processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(listen.LOOPBACK, description="Address to listen on.")
    port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of the monitor; 0: none, and nothing is measured for it.",
    )


class ProcessSettings(BaseModel):
    """How `isocenter up` spreads over the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(
        0, ge=0, le=256, description="Processes that serve requests; 0: one per core."
    )
    drain_seconds: float = Field(
        30, gt=0, description="How long work under way may take after SIGTERM."
    )


class Settings(BaseSettings):
    """All settings of one process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    data: Path = Field(Path("isocenter-data"), description="Data directory of the embedded parts.")
    site: str = Field(
        "",
        pattern=r"[A-Za-z0-9._-]*",
        max_length=64,
        description="Name of the site that this process serves, a label of all its metrics.",
    )
    bus: str = Field(
        "log:",
        description="URL of the log. `log:` is embedded, below `data`; "
        "`kafka://host:port,host:port/namespace` is Kafka (the namespace begins the topics' names, "
        "`isocenter` if there is none).",
    )
    blobs: str = Field(
        "file:",
        description="URL of the object store. `file:` is embedded, below `data`; "
        "`s3://host:port/bucket` is MinIO or any other S3-compatible store.",
    )
    index: str = Field(
        "sqlite:",
        description="URL of the search index. `sqlite:` is embedded, below `data`; "
        "`elasticsearch://host:port,host:port/prefix` is Elasticsearch (the prefix begins the "
        "indices' names, `isocenter` if there is none).",
    )
    attributes: AddedAttributes = Field(
        (),
        max_length=256,
        description="Attributes that searches match beside the built-in ones; see "
        "[operating](operating.md#attributes-to-search-by).",
    )
    gateway: GatewaySettings = GatewaySettings()
    web: WebSettings = WebSettings()
    ingest: IngestSettings = IngestSettings()
    storage: StorageSettings = StorageSettings()
    indexing: IndexingSettings = IndexingSettings()
    query: QuerySettings = QuerySettings()
    transcoding: TranscodingSettings = TranscodingSettings()
    audit: AuditSettings = AuditSettings()
    access: AccessSettings = AccessSettings()
    limits: LimitSettings = LimitSettings()
    kafka: KafkaSettings = KafkaSettings()
    s3: S3Settings = S3Settings()
    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    events: EventSettings = EventSettings()
    rpc: RpcSettings = RpcSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    monitor: MonitorSettings = MonitorSettings()
    process: ProcessSettings = ProcessSettings()

    def section(self, kind: type[S]) -> S:
        """The section of this type."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, kind):
                return value
        raise TypeError(f"no settings section of type {kind.__name__}")


def load(
    *, config: Path | None = None, flags: Mapping[str, str] | None = None, data: Path | None = None
) -> Settings:
    """Read and validate the settings.

    `flags` maps dotted keys to texts (`{"gateway.port": "11113"}`); lists and tables are JSON, as
    in the environment. Raises `Invalid` with one
    line per mistake: the key, where it was set, what is wrong and what would be right.
    """
    file, file_name = _read_file(config)
    values: dict[str, Any] = {}
    for key, text in (flags or {}).items():
        _set_nested(values, key.split("."), _plain_or_json(text))
    problems = [_shown(name) for name in secrets_of(Settings) if given(values, name)]
    if data is not None:
        values["data"] = data
    problems += _unknown_variables(os.environ)
    try:
        settings = _with_file(file)(**values)
    except SettingsError as error:  # which quotes nothing
        problems.append(f"{error}; write lists and tables as JSON")
    except ValidationError as error:
        problems += [
            _describe(entry["loc"], entry["msg"], entry["type"], flags or {}, file, file_name)
            for entry in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    else:
        problems += _open_ports(settings)
        if not problems:
            return settings
    raise Invalid("the settings are not valid:\n  " + "\n  ".join(problems))


def _open_ports(settings: Settings) -> Iterator[str]:
    """gRPC ports that other machines reach, and that have no TLS."""
    rpc, web = settings.rpc, settings.web
    for prefix, host, port, tls, files, why in (
        ("rpc.", rpc.host, rpc.port, rpc.tls, "rpc.ca_file, rpc.certificate_file and rpc.key_file",
         "whoever calls it may do so in anybody's name"),
        ("web.grpc_", web.grpc_host, web.grpc_port, web.grpc_tls,
         "web.grpc_certificate_file and web.grpc_key_file", "tokens could be read on their way"),
    ):  # fmt: skip
        if port and tls is None and not rpc.insecure and not names_this_machine(host):
            yield (
                f"{prefix}host: other machines reach {host}, and {prefix}port {port} has no TLS: "
                f"{why}; set {files}, or rpc.insecure=true where something else sees to that"
            )


def _shown(secret: str) -> str:
    variable = PREFIX + secret.replace(".", NESTED).upper()
    return (
        f"{secret}: a secret on the command line can be read in every list of processes; set"
        f" {variable}, or name a file that holds it: --set {secret}_file=FILE"
    )


def _with_file(file: dict[str, Any]) -> type[Settings]:
    """The settings with a file's content as the weakest source before the defaults."""

    class WithFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, InitSettingsSource(settings_cls, file)

    return WithFile


def _read_file(config: Path | None) -> tuple[dict[str, Any], str]:
    named = config or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
    if named is None:
        return {}, ""
    try:
        return tomllib.loads(named.read_text(encoding="utf-8")), str(named)
    except FileNotFoundError as error:
        raise Invalid(
            f"settings file {named} does not exist", fix="create it or name another with --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Invalid(
            f"settings file {named} cannot be read: {error}", fix="mend the TOML syntax"
        ) from error


def _set_nested(values: dict[str, Any], path: Sequence[str], value: object) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _plain_or_json(text: str) -> object:
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # validation names the key and what it should be


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    known = {name.upper() for name in Settings.model_fields}
    problems = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        first = name.removeprefix(PREFIX).split(NESTED)[0].upper()
        if first not in known:
            problems.append(
                f"environment variable {name} is no setting{_suggest(first, known, PREFIX)}"
            )
    return problems


def _suggest(word: str, known: Sequence[str] | set[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _describe(
    location: tuple[int | str, ...],
    message: str,
    kind: str,
    flags: Mapping[str, str],
    file: Mapping[str, Any],
    file_name: str,
) -> str:
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        message = "unknown key" + _suggest(str(location[-1]), _names_beside(location))
    return f"{key}: {message} ({_origin(key, location, flags, file, file_name)})"


def _names_beside(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type):
            return []
        model = field.annotation
    return list(model.model_fields)


def _origin(
    key: str,
    location: tuple[int | str, ...],
    flags: Mapping[str, str],
    file: Mapping[str, Any],
    file_name: str,
) -> str:
    """Where the offending value came from, the strongest source first."""
    for flag in flags:
        if key == flag or key.startswith(flag + ".") or flag.startswith(key + "."):
            return f"set by --set {flag}"
    names = [str(part) for part in location if isinstance(part, str)]
    for length in range(len(names), 0, -1):
        variable = PREFIX + NESTED.join(names[:length]).upper()
        if variable in os.environ:
            return f"set by environment variable {variable}"
    if names and names[0] in file:
        return f"set in {file_name}"
    return f"set it with --set {key}=VALUE, {PREFIX}{NESTED.join(names).upper()} or in the file"
