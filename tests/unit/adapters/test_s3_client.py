"""What the S3 adapter takes from the settings, and its arithmetic."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from isocenter.adapters.blobs.s3.client import Address, S3Client
from isocenter.adapters.blobs.s3.staging import FIRST_PART, part_size
from isocenter.adapters.blobs.s3.writing import MOST_PARTS
from isocenter.core.errors import Invalid
from support.buckets import SETTINGS


@pytest.mark.parametrize(
    ("url", "host", "bucket", "server"),
    [
        ("s3://127.0.0.1:9000/pacs", "127.0.0.1:9000", "pacs", "http://127.0.0.1:9000/"),
        ("s3://[::1]:9000/pacs/", "[::1]:9000", "pacs", "http://[::1]:9000/"),
        ("s3://minio.example/a.b-c", "minio.example", "a.b-c", "https://minio.example/"),
    ],
)
def test_the_url_names_a_host_and_a_bucket(url, host, bucket, server):
    address = Address.of(url, SETTINGS)
    assert (address.host, address.bucket, address.url) == (host, bucket, server)


@pytest.mark.parametrize(
    "url",
    ["s3:", "s3://", "s3://host", "s3://host/", "s3:///bucket", "s3://host:x/bucket",
     "s3://host:0/bucket", "s3://host:70000/bucket", "s3://host/a/b", "s3://host/UPPER",
     "s3://host/ab", "s3://host/bucket?x", "s3://host/bucket#x", "s3://key:topsecret@host/bucket"],
)  # fmt: skip
def test_another_url_is_refused_without_telling_it(url):
    with pytest.raises(Invalid, match=r"^blobs: .*s3://host:port/bucket") as raised:
        Address.of(url, SETTINGS)
    assert "topsecret" not in str(raised.value)


def test_keys_and_region_are_looked_at_when_the_store_is_opened():
    url = "s3://127.0.0.1:9000/pacs"
    for missing in ({"access_key": ""}, {"secret_key": SecretStr("")}):
        with pytest.raises(Invalid, match=r"\[s3\] access_key or secret_key is empty"):
            S3Client.open(url, SETTINGS.model_copy(update=missing))
    with pytest.raises(Invalid, match=r"\[s3\] region"):
        S3Client.open(url, SETTINGS.model_copy(update={"region": "no region"}))


def test_the_largest_object_of_s3_fits_into_its_number_of_parts():
    assert part_size(0) == FIRST_PART
    assert sum(map(part_size, range(MOST_PARTS))) >= 5 * 2**40
    assert part_size(MOST_PARTS - 1) <= 5 * 2**30
