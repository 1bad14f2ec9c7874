"""Syslog: what a message looks like, and what happens between us and collectors of every temper."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from isocenter.audit import connections, syslog
from isocenter.audit.settings import Collector
from isocenter.audit.syslog import (
    AUDIT_MESSAGE,
    MOST_OF_UDP,
    NOTICE,
    WARNING,
    Message,
    Origin,
    framed,
    sender_to,
)
from isocenter.core.errors import Unavailable
from support.authority import Authority
from support.collectors import SyslogCollector, collecting, id_of, text_of, unframed
from support.ports import free_ports

ORIGIN = Origin("pacs.hospital", 4711)
AT = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
SMALL_BUFFER = 4096


def message(identifier: str = "a-1", text: str = "<AuditMessage/>") -> Message:
    return Message(NOTICE, AT, AUDIT_MESSAGE, identifier, text.encode())


def messages(count: int, size: int = 1000) -> list[Message]:
    return [message(f"{number}", f"<{'x' * size}/>") for number in range(count)]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def impatient(monkeypatch):
    """Waits are short: what is tested is that they end."""
    monkeypatch.setattr(syslog, "_PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(syslog, "_END_SECONDS", 0.3)


def settings_for(collector: SyslogCollector, **more) -> Collector:
    return Collector(name="siem", url=collector.url, **more)


def sender_for(collector: SyslogCollector, **more):
    return sender_to(settings_for(collector, **more), ORIGIN)


def watch_for_ever(sender) -> None:
    while True:
        sender.watch()


def send_and_confirm(sender) -> None:
    sender.open()
    sender.send(messages(3))
    sender.confirm()


def send_for(seconds: float, sender) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        send_and_confirm(sender)


# --- messages ------------------------------------------------------------------------------------


def test_a_message_has_the_header_of_rfc_5424_and_of_ps_3_15():
    assert message().encoded(ORIGIN) == (
        b"<85>1 2026-03-04T05:06:07.000089Z pacs.hospital isocenter 4711 DICOM+RFC3881 "
        b'[isocenter@32473 id="a-1"] \xef\xbb\xbf<AuditMessage/>'
    )


def test_a_failure_is_a_warning_and_times_are_told_in_utc():
    at = AT.astimezone(timezone(timedelta(hours=2)))
    encoded = Message(WARNING, at, AUDIT_MESSAGE, "1", b"").encoded(ORIGIN)
    assert encoded.startswith(b"<84>1 2026-03-04T05:06:07.000089Z ")


def test_what_an_id_may_hold_does_not_end_the_structured_data():
    odd = 'a"b]c\\d é'
    encoded = message(odd).encoded(ORIGIN)
    assert rb'id="a\"b\]c\\d ' in encoded
    assert id_of(encoded) == odd
    assert text_of(encoded) == b"<AuditMessage/>"


@pytest.mark.parametrize(
    ("name", "told"),
    [("scan ner\n1", "scanner1"), ("пакс", "-"), ("", "-"), ("h" * 300, "h" * 255)],
)
def test_a_host_name_is_printable_ascii(name, told):
    assert Origin.named(name, 1).host == told


def test_octets_are_counted_not_characters():
    encoded = message(text="<ä/>").encoded(ORIGIN)
    assert framed(encoded).startswith(b"%d <85>1 " % len(encoded))
    assert len(encoded) == len(encoded.decode()) + 1 + 2  # ä, and the mark


def test_what_is_too_long_for_a_datagram_is_cut_at_a_character_and_says_so():
    long = message(text="ä" * 40_000)
    whole = long.encoded(ORIGIN)
    cut = long.encoded(ORIGIN, MOST_OF_UDP)
    assert MOST_OF_UDP - 1 <= len(cut) <= MOST_OF_UDP
    assert b' cut-from="%d"]' % len(whole) in cut
    assert id_of(cut) == "a-1"
    assert set(text_of(cut).decode()) == {"ä"}
    assert message().encoded(ORIGIN, MOST_OF_UDP) == message().encoded(ORIGIN)


def test_framed_messages_are_found_again_however_the_bytes_come():
    sent = [one.encoded(ORIGIN) for one in messages(3)]
    stream = b"".join(map(framed, sent))
    for at in range(len(stream)):
        first, rest = unframed(stream[:at])
        second, rest = unframed(rest + stream[at:])
        assert first + second == sent
        assert rest == b""


# --- ways ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirm", ["read", "received"])
@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("says_goodbye", [True, False])
def test_what_is_confirmed_was_received_byte_for_byte(authority, kind, confirm, says_goodbye):
    tls = authority.issue("collector") if kind == "tls" else None
    files = {"ca_file": tls.ca} if tls else {}
    with collecting(kind, tls) as collector:
        collector.says_goodbye = says_goodbye
        sender = sender_for(collector, confirm=confirm, **files)
        sent = messages(2000)
        sender.open()
        sender.send(sent[:1500])
        sender.confirm()
        if confirm == "read":
            assert collector.messages == [one.encoded(ORIGIN) for one in sent[:1500]]
            assert sender._connection is not None, "the next connection is there"
        sender.send(sent[1500:])
        sender.confirm()
        collector.wait(len(sent))
        assert collector.messages == [one.encoded(ORIGIN) for one in sent]
        sender.close()


def test_without_a_way_to_ask_what_is_acknowledged_it_is_enough_that_it_was_sent(monkeypatch):
    def no_such_request(*arguments):
        raise OSError(errno.ENOTTY, "no such request")

    monkeypatch.setattr(connections.fcntl, "ioctl", no_such_request)
    with collecting() as collector:
        sender = sender_for(collector, confirm="received")
        sender.open()
        sender.send(messages(10))
        sender.confirm()
        collector.wait(10)


def test_nothing_is_confirmed_by_a_machine_that_has_not_acknowledged(impatient):
    """It hangs, and its system's buffer is full: what it does not take stays with ours."""
    with collecting(buffer=SMALL_BUFFER) as collector:
        collector.reading.clear()
        sender = sender_for(collector, confirm="received")
        sender.open()
        sender.send(messages(100))  # our own system takes these
        with pytest.raises(Unavailable, match="has not acknowledged"):
            sender.confirm()


def test_a_collector_that_hangs_is_given_up(impatient):
    with collecting(buffer=SMALL_BUFFER) as collector:
        collector.reading.clear()
        sender = sender_for(collector)
        sender.open()
        with pytest.raises(Unavailable, match="timed out"):
            sender.send(messages(20_000))


def test_what_a_program_has_not_read_is_not_confirmed_although_its_machine_has_it(impatient):
    with collecting() as collector:
        collector.reading.clear()
        strict, easy = sender_for(collector), sender_for(collector, confirm="received")
        for sender in (strict, easy):
            sender.open()
            sender.send(messages(10))
        easy.confirm()
        with pytest.raises(Unavailable, match="not read to the end"):
            strict.confirm()


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_a_collector_that_was_killed_confirms_nothing(authority, kind):
    tls = authority.issue("collector") if kind == "tls" else None
    with collecting(kind, tls) as collector:
        sender = sender_for(collector, **({"ca_file": tls.ca} if tls else {}))
        sender.open()
        sender.send(messages(10))
        collector.wait(10)
        collector.stop()
        with pytest.raises(Unavailable):
            sender.confirm()


async def test_a_collector_that_is_killed_while_it_is_asked_confirms_nothing():
    """It has read everything, so that its system ends the connection as if all were well; but it
    takes no other one."""
    with collecting() as collector:
        sender = sender_for(collector)
        sender.open()
        sender.send(messages(10))
        collector.may_end.clear()
        asking = asyncio.create_task(asyncio.to_thread(sender.confirm))
        await asyncio.to_thread(collector.at_end.wait)
        collector.stop()
        with pytest.raises(Unavailable, match="refused"):
            await asking
        assert len(collector.messages) == 10


def test_a_slow_collector_is_waited_for(impatient, monkeypatch):
    monkeypatch.setattr(syslog, "_END_SECONDS", 30)
    with collecting(buffer=SMALL_BUFFER) as collector:
        collector.bytes_a_read, collector.seconds_a_read = 20_000, 0.005
        sender = sender_for(collector)
        sender.open()
        sender.send(messages(2000))
        sender.confirm()
        assert len(collector.messages) == 2000


def test_an_end_that_the_collector_makes_is_noticed_without_sending():
    with collecting() as collector:
        sender = sender_for(collector)
        sender.open()
        sender.watch()
        collector.wait_for_connection()
        collector.cut()
        with pytest.raises(Unavailable, match="ended the connection"):
            watch_for_ever(sender)


def test_nobody_there():
    [port] = free_ports(1)
    url = f"syslog+tcp://127.0.0.1:{port}"
    with pytest.raises(Unavailable, match=f"{port}: Connection refused; see whether"):
        sender_to(Collector(name="siem", url=url), ORIGIN).open()


def test_a_name_that_there_is_not():
    url = "syslog+tcp://nobody.invalid:514"
    with pytest.raises(Unavailable, match="check its name"):
        sender_to(Collector(name="siem", url=url), ORIGIN).open()


def test_a_collector_that_does_not_speak_tls_is_given_up(impatient, monkeypatch):
    monkeypatch.setattr(syslog, "_CONNECT_SECONDS", 0.3)
    with collecting("tcp") as collector:
        sender = sender_to(
            Collector(name="siem", url=f"syslog+tls://127.0.0.1:{collector.port}"), ORIGIN
        )
        with pytest.raises(Unavailable):
            sender.open()


def test_a_certificate_of_another_ca_is_refused(authority, tmp_path):
    with collecting("tls", authority.issue("collector")) as collector:
        other = Authority(tmp_path / "other").certificate
        with pytest.raises(Unavailable, match="of a CA that ca_file holds"):
            sender_for(collector, ca_file=other).open()
        assert collector.messages == []


def test_a_certificate_for_another_name_is_refused(authority):
    tls = authority.issue("elsewhere", "DNS:elsewhere.example")
    wrong = pytest.raises(Unavailable, match=r"IP address mismatch.*for this name")
    with collecting("tls", tls) as collector, wrong:
        sender_for(collector, ca_file=tls.ca).open()


def test_a_certificate_that_has_expired_is_refused(authority):
    tls = authority.issue("old", days=-1)
    with collecting("tls", tls) as collector, pytest.raises(Unavailable, match="expired"):
        sender_for(collector, ca_file=tls.ca).open()


def test_a_ca_that_has_expired_is_refused(tmp_path):
    authority = Authority(tmp_path / "old", days=-1)
    tls = authority.issue("collector")
    with collecting("tls", tls) as collector, pytest.raises(Unavailable, match="expired"):
        sender_for(collector, ca_file=tls.ca).open()


def test_a_collector_that_asks_for_our_certificate_gets_it(authority):
    tls, ours = authority.issue("collector"), authority.issue("isocenter")
    with collecting("tls", tls, ask=True) as collector:
        files = {"certificate_file": ours.certificate, "key_file": ours.key}
        sender = sender_for(collector, ca_file=tls.ca, **files)
        send_and_confirm(sender)
        assert len(collector.messages) == 3


def test_without_our_certificate_nothing_is_confirmed(authority):
    """With TLS 1.3 we are refused only after we began."""
    tls = authority.issue("collector")
    with collecting("tls", tls, ask=True) as collector:
        sender = sender_for(collector, ca_file=tls.ca)
        with pytest.raises(Unavailable, match="certificate required"):
            send_and_confirm(sender)
        assert collector.messages == []


def test_files_that_are_replaced_are_used_from_the_next_connection_on(authority, tmp_path):
    tls = authority.issue("collector")
    ca = tmp_path / "ca.crt"
    ca.write_bytes(Authority(tmp_path / "former").certificate.read_bytes())
    with collecting("tls", tls) as collector:
        sender = sender_for(collector, ca_file=ca)
        with pytest.raises(Unavailable, match=r"of a CA that ca_file holds"):
            sender.open()
        ca.write_bytes(authority.certificate.read_bytes())
        sender.open()


def test_a_file_that_is_missing_is_named(tmp_path):
    with collecting() as collector:
        one = Collector(
            name="siem", url=f"syslog+tls://127.0.0.1:{collector.port}", ca_file=tmp_path / "no.pem"
        )
        with pytest.raises(
            Exception, match=r"audit.forward siem: ca_file: .*no.pem cannot be read"
        ):
            sender_to(one, ORIGIN).open()


async def test_who_waits_at_a_connection_is_set_free():
    with collecting(buffer=SMALL_BUFFER) as collector:
        collector.reading.clear()
        sender = sender_for(collector)
        sender.open()
        sending = asyncio.create_task(asyncio.to_thread(sender.send, messages(20_000)))
        while sender._connection.unacknowledged == 0:
            await asyncio.sleep(0.005)
        sender.abort()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(sending, 5)


# --- UDP -----------------------------------------------------------------------------------------


def test_datagrams_hold_one_message_each():
    with collecting("udp") as collector:
        sender = sender_for(collector)
        sender.open()
        sent = [*messages(100), message("long", "x" * 70_000)]
        sender.send(sent)
        sender.confirm()
        collector.wait(len(sent))
        assert collector.messages[:-1] == [one.encoded(ORIGIN) for one in sent[:-1]]
        assert len(collector.messages[-1]) == MOST_OF_UDP


def test_a_machine_that_says_that_nobody_takes_datagrams_is_heard():
    with collecting("udp") as collector:
        sender = sender_for(collector)
        sender.open()
        collector.stop()
        with pytest.raises(Unavailable, match=r"nobody takes datagrams|refused"):
            send_for(10, sender)  # the kernel closes when nobody is receiving any more


def test_ipv6():
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    port = listener.getsockname()[1]
    with listener:
        one = Collector(name="siem", url=f"syslog+tcp://[::1]:{port}", confirm="received")
        sender = sender_to(one, ORIGIN)
        sender.open()
        sender.send(messages(1))
        sender.confirm()
        accepted, _ = listener.accept()
        with accepted:
            assert unframed(accepted.recv(10_000))[0] == [messages(1)[0].encoded(ORIGIN)]
        sender.close()
