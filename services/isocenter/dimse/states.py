"""The state machine of the upper layer protocol as a table (PS3.8 9.2)."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class State(IntEnum):
    """PS3.8 tables 9-1 to 9-5."""

    STA1 = 1  # idle
    STA2 = 2  # transport connection open; awaiting A-ASSOCIATE-RQ
    STA3 = 3  # awaiting the local A-ASSOCIATE response primitive
    STA4 = 4  # awaiting the transport connection
    STA5 = 5  # awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ
    STA6 = 6  # association established
    STA7 = 7  # awaiting A-RELEASE-RP
    STA8 = 8  # awaiting the local A-RELEASE response primitive
    STA9 = 9  # release collision, requestor side; awaiting the local A-RELEASE response
    STA10 = 10  # release collision, acceptor side; awaiting A-RELEASE-RP
    STA11 = 11  # release collision, requestor side; awaiting A-RELEASE-RP
    STA12 = 12  # release collision, acceptor side; awaiting the local A-RELEASE response
    STA13 = 13  # awaiting the close of the transport connection; no association any more


class Event(IntEnum):
    """PS3.8 table 9-10, first column."""

    EVT1 = 1  # A-ASSOCIATE request (local user)
    EVT2 = 2  # transport connection confirmed
    EVT3 = 3  # A-ASSOCIATE-AC PDU received
    EVT4 = 4  # A-ASSOCIATE-RJ PDU received
    EVT5 = 5  # transport connection indication
    EVT6 = 6  # A-ASSOCIATE-RQ PDU received
    EVT7 = 7  # A-ASSOCIATE response, accept (local user)
    EVT8 = 8  # A-ASSOCIATE response, reject (local user)
    EVT9 = 9  # P-DATA request (local user)
    EVT10 = 10  # P-DATA-TF PDU received
    EVT11 = 11  # A-RELEASE request (local user)
    EVT12 = 12  # A-RELEASE-RQ PDU received
    EVT13 = 13  # A-RELEASE-RP PDU received
    EVT14 = 14  # A-RELEASE response (local user)
    EVT15 = 15  # A-ABORT request (local user)
    EVT16 = 16  # A-ABORT PDU received
    EVT17 = 17  # transport connection closed
    EVT18 = 18  # ARTIM timer expired
    EVT19 = 19  # unrecognized or invalid PDU received


class Action(StrEnum):
    """PS3.8 tables 9-6 to 9-9."""

    AE1 = "AE1"  # request the transport connection
    AE2 = "AE2"  # send A-ASSOCIATE-RQ
    AE3 = "AE3"  # A-ASSOCIATE confirmation, accepted
    AE4 = "AE4"  # A-ASSOCIATE confirmation, rejected; close
    AE5 = "AE5"  # start ARTIM
    AE6 = "AE6"  # stop ARTIM; A-ASSOCIATE indication, or A-ASSOCIATE-RJ (then Sta13)
    AE7 = "AE7"  # send A-ASSOCIATE-AC
    AE8 = "AE8"  # send A-ASSOCIATE-RJ; start ARTIM
    DT1 = "DT1"  # send P-DATA-TF
    DT2 = "DT2"  # P-DATA indication
    AR1 = "AR1"  # send A-RELEASE-RQ
    AR2 = "AR2"  # A-RELEASE indication
    AR3 = "AR3"  # A-RELEASE confirmation; close
    AR4 = "AR4"  # send A-RELEASE-RP; start ARTIM
    AR5 = "AR5"  # stop ARTIM
    AR6 = "AR6"  # P-DATA indication
    AR7 = "AR7"  # send P-DATA-TF
    AR8 = "AR8"  # A-RELEASE indication, collision (then Sta9 as requestor, Sta10 as acceptor)
    AR9 = "AR9"  # send A-RELEASE-RP
    AR10 = "AR10"  # A-RELEASE confirmation
    AA1 = "AA1"  # send A-ABORT, source service-user; start ARTIM
    AA2 = "AA2"  # stop ARTIM; close
    AA3 = "AA3"  # A-ABORT or A-P-ABORT indication; close
    AA4 = "AA4"  # A-P-ABORT indication
    AA5 = "AA5"  # stop ARTIM
    AA6 = "AA6"  # ignore
    AA7 = "AA7"  # send A-ABORT
    AA8 = "AA8"  # send A-ABORT, source service-provider; A-P-ABORT indication; start ARTIM


# The state after each action. AE6 and AR8 have a second one, which they enter by themselves.
NEXT_STATE: dict[Action, State] = {
    Action.AE1: State.STA4,
    Action.AE2: State.STA5,
    Action.AE3: State.STA6,
    Action.AE4: State.STA1,
    Action.AE5: State.STA2,
    Action.AE6: State.STA3,
    Action.AE7: State.STA6,
    Action.AE8: State.STA13,
    Action.DT1: State.STA6,
    Action.DT2: State.STA6,
    Action.AR1: State.STA7,
    Action.AR2: State.STA8,
    Action.AR3: State.STA1,
    Action.AR4: State.STA13,
    Action.AR5: State.STA1,
    Action.AR6: State.STA7,
    Action.AR7: State.STA8,
    Action.AR8: State.STA9,
    Action.AR9: State.STA11,
    Action.AR10: State.STA12,
    Action.AA1: State.STA13,
    Action.AA2: State.STA1,
    Action.AA3: State.STA1,
    Action.AA4: State.STA1,
    Action.AA5: State.STA1,
    Action.AA6: State.STA13,
    Action.AA7: State.STA13,
    Action.AA8: State.STA13,
}

# PS3.8 table 9-10: a row for each event, a column for each state from Sta1 to Sta13.
_TABLE = """
EVT1   AE1  -    -    -    -    -    -    -    -    -    -    -    -
EVT2   -    -    -    AE2  -    -    -    -    -    -    -    -    -
EVT3   -    AA1  AA8  -    AE3  AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA6
EVT4   -    AA1  AA8  -    AE4  AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA6
EVT5   AE5  -    -    -    -    -    -    -    -    -    -    -    -
EVT6   -    AE6  AA8  -    AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA7
EVT7   -    -    AE7  -    -    -    -    -    -    -    -    -    -
EVT8   -    -    AE8  -    -    -    -    -    -    -    -    -    -
EVT9   -    -    -    -    -    DT1  -    AR7  -    -    -    -    -
EVT10  -    AA1  AA8  -    AA8  DT2  AR6  AA8  AA8  AA8  AA8  AA8  AA6
EVT11  -    -    -    -    -    AR1  -    -    -    -    -    -    -
EVT12  -    AA1  AA8  -    AA8  AR2  AR8  AA8  AA8  AA8  AA8  AA8  AA6
EVT13  -    AA1  AA8  -    AA8  AA8  AR3  AA8  AA8  AR10 AR3  AA8  AA6
EVT14  -    -    -    -    -    -    -    AR4  AR9  -    -    AR4  -
EVT15  -    -    AA1  AA2  AA1  AA1  AA1  AA1  AA1  AA1  AA1  AA1  -
EVT16  -    AA2  AA3  -    AA3  AA3  AA3  AA3  AA3  AA3  AA3  AA3  AA2
EVT17  -    AA5  AA4  AA4  AA4  AA4  AA4  AA4  AA4  AA4  AA4  AA4  AR5
EVT18  -    AA2  -    -    -    -    -    -    -    -    -    -    AA2
EVT19  -    AA1  AA8  -    AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA8  AA7
"""

TRANSITIONS: dict[tuple[Event, State], Action] = {
    (Event[event], state): Action(action)
    for event, *actions in (line.split() for line in _TABLE.split("\n") if line)
    for state, action in zip(State, actions, strict=True)
    if action != "-"
}
