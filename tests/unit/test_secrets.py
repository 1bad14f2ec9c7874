"""Every secret of the settings: none by default, from the environment or a file, in nothing that is
printed, not on the command line, and replaced without a restart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from isocenter.adapters.blobs.s3.client import S3Client
from isocenter.adapters.bus.kafka.client import Connection
from isocenter.adapters.index.elasticsearch.client import ElasticsearchClient
from isocenter.adapters.settings import ElasticsearchSettings, KafkaSettings, S3Settings
from isocenter.core.errors import Invalid, Unavailable
from isocenter.runtime.secret_settings import SecretSettings, secrets_of
from isocenter.settings import NESTED, PREFIX, Settings, load

SECRETS = sorted(secrets_of(Settings))
HIDDEN = "hidden-from-everybody"
_LIKE_SECRETS = re.compile(r"secret|password|passphrase|token|credential|(^|_)key$")
_NO_SECRETS = {"s3.access_key": "a name: it is sent with every request, and in S3's own logs"}


def section_of(settings: Settings, name: str) -> tuple[SecretSettings, str]:
    found: Any = settings
    *path, last = name.split(".")
    for part in path:
        found = getattr(found, part)
    assert isinstance(found, SecretSettings), f"{name} stands in a section without files"
    return found, last


def variable(name: str) -> str:
    return PREFIX + name.replace(".", NESTED).upper()


def fields_of(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, object]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        yield above + name, kind
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields_of(kind, f"{above}{name}.")


def test_what_is_called_like_a_secret_is_one() -> None:
    assert {"s3.secret_key", "kafka.password", "access.oidc.client_secret"} <= set(SECRETS)
    like = {
        name
        for name, kind in fields_of(Settings)
        if _LIKE_SECRETS.search(name.rpartition(".")[2].removesuffix("_file"))
        and kind not in (SecretStr, Path | None)
    }
    assert like == _NO_SECRETS.keys()


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_has_no_default(name: str) -> None:
    section, last = section_of(Settings(), name)
    assert not section.has(last)
    assert section.secret(last) == ""


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_comes_from_the_environment_and_is_not_printed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable(name), HIDDEN)
    settings = load()
    section, last = section_of(settings, name)
    assert section.secret(last) == HIDDEN
    for printed in (
        repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json(),
        repr(section), section.model_dump_json(),
    ):  # fmt: skip
        assert HIDDEN not in printed


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_comes_from_a_file_and_is_read_again(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    section, last = section_of(load(flags={f"{name}_file": str(file)}), name)
    assert section.has(last)
    for content in ("first", "second\n"):
        file.write_text(content)
        assert section.secret(last) == content.strip()
    file.write_text("\n")
    with pytest.raises(Unavailable, match=f"{last}_file: .* is empty"):
        section.secret(last)
    file.write_bytes(HIDDEN.encode() + b"\xff")
    with pytest.raises(Unavailable, match=f"{last}_file: .* it is no text") as caught:
        section.secret(last)
    assert HIDDEN not in str(caught.value)
    file.unlink()
    with pytest.raises(Unavailable, match=f"{last}_file: .* cannot be read: No such file"):
        section.secret(last)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(name: str) -> None:
    above, _, last = name.rpartition(".")
    for flags in ({name: HIDDEN}, {above: json.dumps({last: HIDDEN})}):
        with pytest.raises(Invalid, match=f"{name}: a secret on the command line") as caught:
            load(flags=flags)
        assert f"{name}_file" in str(caught.value)
        assert variable(name) in str(caught.value)
        assert HIDDEN not in str(caught.value)


@pytest.mark.parametrize("name", SECRETS)
def test_errors_about_settings_beside_a_secret_do_not_tell_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = name.rpartition(".")[0]
    monkeypatch.setenv(variable(name), HIDDEN)
    monkeypatch.setenv(variable(f"{name}_file"), "/run/secrets/x")
    with pytest.raises(Invalid, match="are both given") as caught:
        load()
    monkeypatch.delenv(variable(f"{name}_file"))
    monkeypatch.setenv(variable(f"{above}.no_such_setting"), "x")
    with pytest.raises(Invalid, match="unknown key") as unknown:
        load()
    for error in (caught.value, caught.value.__context__, unknown.value, unknown.value.__context__):
        assert HIDDEN not in f"{error}{error!r}"


def test_a_table_of_the_environment_that_is_no_json_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f"{PREFIX}S3", f'{{"secret_key": "{HIDDEN}"')
    with pytest.raises(Invalid, match=r'"s3".*write lists and tables as JSON') as caught:
        load()
    assert HIDDEN not in str(caught.value)


# --- where they are used -------------------------------------------------------------------------


def test_requests_to_the_object_store_are_signed_with_the_keys_as_they_are(tmp_path: Path) -> None:
    access, secret = tmp_path / "access", tmp_path / "secret"
    client = S3Client.open(
        "s3://127.0.0.1:9/bucket", _write(S3Settings, access, secret, "one", "first")
    )
    signed = client._signed
    url = client._root
    before = signed("GET", url, {}, "digest")["Authorization"]
    assert "Credential=one/" in before
    access.write_text("two")
    secret.write_text("second")
    after = signed("GET", url, {}, "digest")["Authorization"]
    assert "Credential=two/" in after
    assert before.rpartition("Signature=")[2] != after.rpartition("Signature=")[2]
    presigned = client.minio.get_presigned_url("GET", "bucket", "key")
    assert "two" in presigned, "the library's own requests too"


def _write(
    kind: type[S3Settings], access: Path, secret: Path, first: str, second: str
) -> S3Settings:
    access.write_text(first)
    secret.write_text(second)
    return kind(access_key_file=access, secret_key_file=secret)


@pytest.mark.parametrize(
    ("setting", "user", "shown"),
    [("api_key_file", "", "ApiKey {}"), ("password_file", "user", "Basic ")],
)
async def test_requests_to_the_search_index_show_what_is_in_the_file(
    setting: str, user: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    settings = ElasticsearchSettings(username=user, **{setting: file})
    client = ElasticsearchClient.open("elasticsearch://127.0.0.1:9/x", settings)
    sent: list[str] = []

    async def perform(*_: object, headers: Any, **__: object) -> tuple[SimpleNamespace, object]:
        sent.append(headers["authorization"])
        meta = SimpleNamespace(status=200, headers={"x-elastic-product": "Elasticsearch"})
        return meta, {}

    monkeypatch.setattr(client._client.transport, "perform_request", perform)
    for content in ("first", "second", "second"):
        file.write_text(content)
        await client.request("GET", "/")
    await client.close()
    assert all(one.startswith(shown.format("")) for one in sent)
    assert sent[0] != sent[1] == sent[2]


def test_a_client_of_kafka_that_connects_anew_shows_the_password_of_the_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "password"
    file.write_text("first")
    connection = Connection.of("kafka://127.0.0.1", KafkaSettings(username="u", password_file=file))
    assert connection.options["sasl_plain_password"] == "first"
    file.write_text("second")
    assert connection.options["sasl_plain_password"] == "second"
    assert "second" not in repr(connection)
