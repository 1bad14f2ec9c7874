"""The arithmetic of the stand-alone verifier: signatures (RFC 8032) and trees (RFC 9162), against
what the RFC has and against those of others."""

from __future__ import annotations

import random
from hashlib import sha256, sha512

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from isocenter.audit import chain
from isocenter.audit.standalone import Broken, L, P, is_signed, point_of, root_above, root_of

# RFC 8032 7.1: secret key, public key, message, signature.
VECTORS = {
    "TEST 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
            "f9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    "TEST 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0"
            "f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    "TEST 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f76098"
            "4dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    "TEST SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        sha512(b"abc").hexdigest(),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c664"
            "31e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
}

# The eight points of small order, of which some can be written in a second way.
SMALL_ORDER = tuple(
    y | sign << 255
    for y in (
        0,
        1,
        P - 1,
        P,
        P + 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7,
    )
    for sign in (0, 1)
)
IDENTITY = (1).to_bytes(32, "little")


def accepts(public: bytes, signature: bytes, message: bytes) -> bool:
    """What `cryptography` says."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_of(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_of_the_rfc(name: str) -> None:
    secret, public, message, signature = (bytes.fromhex(text) for text in VECTORS[name])
    key = Ed25519PrivateKey.from_private_bytes(secret)
    assert (public_of(key), key.sign(message)) == (public, signature), "the vector is not the RFC's"
    assert is_signed(public, signature, message)
    assert not is_signed(public, signature, message + b"\0")


def test_many_keys_and_mutations_are_judged_as_others_judge_them() -> None:
    random_ = random.Random(8032)
    for _ in range(60):
        key = Ed25519PrivateKey.from_private_bytes(random_.randbytes(32))
        public, message = public_of(key), random_.randbytes(random_.randrange(200))
        signature = key.sign(message)
        assert is_signed(public, signature, message)
        for _ in range(4):
            parts = [bytearray(public), bytearray(signature), bytearray(message + b"m")]
            part = random_.choice(parts)
            part[random_.randrange(len(part))] ^= 1 << random_.randrange(8)
            mutated = bytes(parts[0]), bytes(parts[1]), bytes(parts[2][:-1])
            assert is_signed(*mutated) == accepts(*mutated), mutated


def test_every_byte_of_a_signature_counts() -> None:
    key = Ed25519PrivateKey.generate()
    signature = key.sign(b"body")
    for at in range(64):
        changed = signature[:at] + bytes([signature[at] ^ 0x80]) + signature[at + 1 :]
        assert not is_signed(public_of(key), changed, b"body")


def test_a_scalar_has_one_way_to_be_written() -> None:
    """RFC 8032 5.1.7: S is below L, or else everybody could make a second signature of one."""
    key = Ed25519PrivateKey.generate()
    signature = key.sign(b"body")
    scalar = int.from_bytes(signature[32:], "little")
    for more in range(1, 15):
        again = signature[:32] + (scalar + more * L).to_bytes(32, "little")
        assert not is_signed(public_of(key), again, b"body")
    assert not is_signed(public_of(key), signature[:32] + L.to_bytes(32, "little"), b"body")


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 63, 65, 96, 128])
def test_what_has_another_length_is_no_signature_and_no_key(length: int) -> None:
    key = Ed25519PrivateKey.generate()
    signature = key.sign(b"body")
    assert not is_signed(public_of(key), (signature * 2)[:length], b"body")
    if length != 32:
        assert not is_signed((public_of(key) * 4)[:length], signature, b"body")


def test_a_point_has_one_way_to_be_written() -> None:
    """RFC 8032 5.1.3: y is below P, and the x that is 0 has no sign."""
    others = [y | sign << 255 for y in range(P, 2**255) for sign in (0, 1)]
    for number in (*others, 1 | 1 << 255, (P - 1) | 1 << 255):
        with pytest.raises(Broken):
            point_of(number.to_bytes(32, "little"))


def test_points_that_are_not_on_the_curve_are_no_keys() -> None:
    """About half of all numbers are no y of a point."""
    random_ = random.Random(25519)
    numbers = [random_.randrange(P) for _ in range(64)]
    on_curve = 0
    for y in numbers:
        try:
            x, _, _, _ = point_of(y.to_bytes(32, "little"))
        except Broken:
            continue
        on_curve += 1
        d = -121665 * pow(121666, -1, P)
        assert (y * y - x * x - 1 - d * x * x * y * y) % P == 0
        assert x % 2 == 0, "the sign bit is not set"
    assert 16 < on_curve < 48


def test_keys_of_small_order_sign_nothing() -> None:
    """[S]B = R + [k]A holds for every message with S = 0 and A = R = the identity."""
    points = [number.to_bytes(32, "little") for number in SMALL_ORDER]
    for public in points:
        for commitment in points:
            for message in (b"", b"a", b"b"):
                assert not is_signed(public, commitment + bytes(32), message)


def test_a_commitment_has_one_way_to_be_written() -> None:
    """R = the identity is a commitment like others, in its one encoding."""
    seed = b"a key that is known".ljust(32)
    key = Ed25519PrivateKey.from_private_bytes(seed)
    # RFC 8032 5.1.5
    secret = int.from_bytes(sha512(seed).digest()[:32], "little") & (1 << 254) - 8 | 1 << 254

    def signature(commitment: bytes) -> bytes:
        challenge = sha512(commitment + public_of(key) + b"body").digest()
        scalar = int.from_bytes(challenge, "little") * secret % L
        return commitment + scalar.to_bytes(32, "little")

    assert is_signed(public_of(key), signature(IDENTITY), b"body")
    assert accepts(public_of(key), signature(IDENTITY), b"body")
    for other in (P + 1, 1 | 1 << 255, (P + 1) | 1 << 255):
        assert not is_signed(public_of(key), signature(other.to_bytes(32, "little")), b"body")


def leaves(count: int) -> list[bytes]:
    return [sha256(b"%d" % number).digest() for number in range(count)]


def root_as_defined(those: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, word by word; of leaves that are digests already."""
    if len(those) == 1:
        return those[0]
    half = max(2**power for power in range(20) if 2**power < len(those))
    both = root_as_defined(those[:half]) + root_as_defined(those[half:])
    return sha256(b"\1" + both).digest()


@pytest.mark.parametrize("count", [*range(1, 34), 63, 64, 65, 100, 1000])
def test_the_root_is_that_of_the_rfc_and_of_the_product(count: int) -> None:
    assert root_of(leaves(count)) == root_as_defined(leaves(count)) == chain.root_of(leaves(count))


@pytest.mark.parametrize("count", [*range(1, 20), 31, 32, 33, 64, 65])
def test_proofs_of_the_product_lead_to_the_root_and_no_others(count: int) -> None:
    those = leaves(count)
    root = root_of(those).hex()
    for index in range(count):
        path = [node.hex() for node in chain.path_to(those, index)]
        assert root_above(those[index], index, count, path) == root
        assert root_above(those[index], index, count, [*path, path[0] if path else root]) != root
        assert not path or root_above(those[index], index, count, path[:-1]) != root
        other = (index + 1) % count
        assert other == index or root_above(those[other], index, count, path) != root
