"""HTTP/2 to the gateway with python's h2, which shares no code with it. One thread; bytes move inside of wait()."""

import socket
import ssl
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .build import SCALE

LONG = 30 * SCALE

# To this library GOAWAY is the end, but streams that are open go on behind it (RFC 9113 §6.8).
_State, _Input = h2.connection.ConnectionState, h2.connection.ConnectionInputs
h2.connection.H2ConnectionStateMachine._transitions[(_State.CLIENT_OPEN, _Input.RECV_GOAWAY)] = (None, _State.CLIENT_OPEN)


class Stream:
    """One request: a tunnel when `status` is 200 and it was a CONNECT."""

    def __init__(self, client, number):
        self.client = client
        self.number = number
        self.status = None
        self.fields, self.headers = [], {}
        self.data = bytearray()
        self.received = 0
        self.ended = False  # by the gateway
        self.reset = None  # its error code
        self.reading = True  # gives the window back

    @property
    def over(self):
        return self.ended or self.reset is not None

    def send(self, data, end=False):
        """All of it, waiting for windows."""
        view = memoryview(data)
        while view or end:
            room = min(self.client.h2.local_flow_control_window(self.number), self.client.h2.max_outbound_frame_size)
            if view and room == 0:
                self.client.wait(lambda: self.over or self.client.h2.local_flow_control_window(self.number) > 0)
                if self.over:
                    raise ConnectionResetError(f"stream {self.number} is over")
                continue
            part, view = view[:room], view[room:]
            last = end and not view
            self.client.h2.send_data(self.number, bytes(part), end_stream=last)
            self.client.flush()
            if last:
                return

    def half_close(self):
        self.client.h2.end_stream(self.number)
        self.client.flush()

    def cancel(self, code=h2.errors.ErrorCodes.CANCEL):
        self.client.h2.reset_stream(self.number, code)
        self.client.flush()

    def recv_exactly(self, count):
        self.client.wait(lambda: len(self.data) >= count or self.over)
        assert len(self.data) >= count, f"the end came after {len(self.data)} of {count} bytes"
        data = bytes(self.data[:count])
        del self.data[:count]
        return data

    def recv_all(self):
        self.client.wait(lambda: self.over)
        assert self.reset is None, f"stream {self.number} was reset: {self.reset}"
        return bytes(self.data)

    def wait_over(self):
        self.client.wait(lambda: self.over)
        return self


class H2Client:
    def __init__(self, gateway, settings=None, source="127.0.0.1", context=None):
        context = context or gateway.tls_context()
        context.set_alpn_protocols(["h2"])
        self.sock = gateway.open_raw(context, source=source)
        assert self.sock.selected_alpn_protocol() == "h2"
        # Its validation knows no CONNECT, and would not let hostile fields out either.
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        if settings:
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values={**self.h2.local_settings, **settings})
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 24)
        self.streams = {}
        self.goaway = None
        self.closed = False
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def send_raw(self, data):
        """Behind everything that h2 has to say."""
        self.flush()
        self.sock.sendall(data)

    def request(self, headers, end=True, body=None):
        number = self.h2.get_next_available_stream_id()
        stream = self.streams[number] = Stream(self, number)
        self.h2.send_headers(number, headers, end_stream=end and body is None)
        self.flush()
        if body is not None:
            stream.send(body, end=end)
        return stream

    def start_connect(self, target, token=None, headers=()):
        fields = [(":method", "CONNECT"), (":authority", target), *headers]
        if token is not None:
            fields.append(("proxy-authorization", f"Bearer {token}"))
        return self.request(fields, end=False)

    def connect(self, target, token=None, headers=()):
        stream = self.start_connect(target, token, headers)
        self.wait(lambda: stream.status is not None or stream.over)
        return stream

    def get(self, path, token=None, method="GET"):
        fields = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        if token is not None:
            fields.append(("authorization", f"Bearer {token}"))
        return self.request(fields).wait_over()

    def wait(self, done, timeout=LONG):
        """Moves bytes until done() holds; the connection's end ends it too."""
        deadline = time.monotonic() + timeout
        while not done() and not self.closed:
            left = deadline - time.monotonic()
            assert left > 0, "it did not come in time"
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(1 << 16)
            except (ConnectionResetError, ssl.SSLError):
                data = b""
            except socket.timeout:
                continue
            if not data:
                self.closed = True
                for stream in self.streams.values():
                    if not stream.over:
                        stream.reset = "connection closed"
                return
            try:
                events = self.h2.receive_data(data)
            except h2.exceptions.ProtocolError:
                self.closed = True
                raise
            for event in events:
                self._take(event)
            try:
                self.flush()
            except OSError:
                pass  # one that has gone takes nothing; the next recv() tells

    def wait_closed(self, timeout=LONG):
        self.wait(lambda: self.closed, timeout)
        return self.goaway

    def _take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ResponseReceived):
            stream.fields = event.headers
            stream.headers = dict(event.headers)
            stream.status = int(stream.headers[":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.data += event.data
            stream.received += len(event.data)
            if stream.reading:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            if stream is not None:
                stream.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code

    def close(self):
        self.sock.close()
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
