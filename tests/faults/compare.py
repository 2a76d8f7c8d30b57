"""The ledgers of client, app and subscribers against the stream and the store: what the promise A1-A5 means for each access."""

from dataclasses import dataclass, field

from .ledger import APP_FIRST, APP_RESETS, CLIENT_FIRST, CLIENT_RESETS, HEADER

MIB = 1 << 20
UNLOGGED_MAX = 16 * MIB


def number(record, name):
    return int(record.get(name, 0))


@dataclass
class Result:
    wrong: list = field(default_factory=list)
    accesses: int = 0  # in the client's ledger
    answered: int = 0  # 200
    exact: int = 0  # whose figures are those of both ledgers, to the byte
    crashed: int = 0  # closed by recovery
    behind_max: int = 0  # bytes that the record of a crashed one was behind

    def add(self, other):
        self.wrong += other.wrong
        self.accesses += other.accesses
        self.answered += other.answered
        self.exact += other.exact
        self.crashed += other.crashed
        self.behind_max = max(self.behind_max, other.behind_max)


def dense(events):
    """What is wrong with the stream as a whole; `events` in the order in which it gives them."""
    wrong = []
    for expected, event in enumerate(events, start=number(events[0], "sequence") if events else 1):
        if "gap" in event:
            return wrong + [f"a gap in the stream: {event['gap']}"]
        if number(event, "sequence") != expected:
            return wrong + [f"expected event {expected}, found {number(event, 'sequence')}"]
    return wrong


def histories(events):
    """What is wrong with the events of each access: OPENED first and CLOSED last, each once, and figures that only grow."""
    wrong, by_id = [], {}
    for event in events:
        if "access" in event:
            by_id.setdefault(event["access"]["access_id"], []).append(event["access"])
    for access_id, course in by_id.items():
        kinds = [a["event"] for a in course]
        if kinds == ["DENIED"]:
            continue
        if kinds[0] != "OPENED" or kinds[-1] != "CLOSED" or any(k != "PROGRESS" for k in kinds[1:-1]):
            wrong.append(f"access {access_id} has the events {kinds}")
        for before, after in zip(course, course[1:]):
            for name in ("bytes_up", "bytes_down", "duration_us"):
                if number(after, name) < number(before, name):
                    wrong.append(f"access {access_id}: {name} goes from {number(before, name)} to {number(after, name)}")
    return wrong


def accesses(clients, served, rows, killed_at=None, time_bound=None):
    """`clients`: the client's ledger; `served`: the app's, by address; `rows`: the store's. `killed_at`: when the gateway was, if it
    was; then what had arrived `time_bound` seconds before must be on record."""
    result = Result(accesses=len(clients))
    by_address = {}
    for row in rows:
        by_address.setdefault(row.get("destination_host"), []).append(row)
    known = set()
    for client in clients:
        known.add(client.address)
        mine = by_address.get(client.address, [])
        app = served.get(client.address)
        wrong = _access(client, app, mine, killed_at, time_bound, result)
        if wrong:
            result.wrong.append(f"{'; '.join(wrong)} | {client} | {app} | {mine}")
    for address, connection in served.items():
        if address not in known and connection.received.total:
            result.wrong.append(f"the app was sent bytes at {address}, where no client went: {connection}")
    return result


def _access(client, app, rows, killed_at, time_bound, result):
    arrived_up = app.received.total if app else 0
    arrived_down = client.received.total
    if client.bad:
        return [client.bad]
    if len(rows) > 1:
        return ["more than one row"]
    if client.status != 200 and client.status is not None and arrived_up:
        return [f"refused with {client.status}, and the app got bytes"]
    if client.status == 200:
        result.answered += 1
    if not rows:
        if client.status == 200 or arrived_up or arrived_down:
            return ["NO RECORD of an access that was used"]
        return []
    row = rows[0]
    if client.status not in (200, None):
        return [] if row["event"] in ("DENIED", "CLOSED") else [f"refused, and on record as {row['event']}"]
    if row["event"] != "CLOSED":
        # One that was never answered may have been refused for want of time while the gateway went down.
        return [] if client.status is None and not arrived_up and row["event"] == "DENIED" else [f"is {row['event']}, not closed"]
    up, down, uncertain = number(row, "bytes_up"), number(row, "bytes_down"), row.get("bytes_uncertain", False)
    wrong = []
    if app and app.nonce and app.nonce != client.nonce:
        wrong.append("the app got another client's bytes")
    if row["close_reason"] == "GATEWAY_CRASHED":
        result.crashed += 1
        if not uncertain:
            wrong.append("closed by recovery and not marked bytes_uncertain")
        if up > arrived_up:
            wrong.append(f"OVER-COUNTED: bytes_up {up}, {arrived_up} arrived")
        if down > arrived_down:
            wrong.append(f"OVER-COUNTED: bytes_down {down}, {arrived_down} arrived")
        behind = arrived_up + arrived_down - up - down
        result.behind_max = max(result.behind_max, behind)
        if behind > UNLOGGED_MAX:
            wrong.append(f"UNDER-COUNTED by {behind} bytes")
        if killed_at is not None and time_bound is not None:
            for name, counted, arrived in (("up", up, app.received if app else None), ("down", down, client.received)):
                if arrived and arrived.by(killed_at - time_bound) > counted:
                    wrong.append(f"bytes_{name} {counted}: {arrived.by(killed_at - time_bound)} had arrived {time_bound} s before the kill")
        return wrong
    whole = client.end == "eof" and app is not None and app.end == "eof" and client.ending in (CLIENT_FIRST, APP_FIRST)
    if whole:
        if (up, down, uncertain) != (arrived_up, arrived_down, False) or arrived_up != HEADER.size + client.up or arrived_down != client.down:
            wrong.append(f"both ends are clean, and the record has up {up}, down {down}, uncertain {uncertain}")
        else:
            result.exact += 1
        return wrong
    if up > HEADER.size + client.up or down > client.down:
        wrong.append(f"more than could be sent: up {up}, down {down}")
    # One side broke; what the other one got is a matter of its own kernel and is all there.
    if killed_at is None or (client.ended_at and client.ended_at < killed_at - 1):
        if client.ending == CLIENT_RESETS and up > arrived_up:
            wrong.append(f"OVER-COUNTED: bytes_up {up}, {arrived_up} arrived")
        if client.ending == APP_RESETS and down > arrived_down:
            wrong.append(f"OVER-COUNTED: bytes_down {down}, {arrived_down} arrived")
    return wrong
