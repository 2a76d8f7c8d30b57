"""The end of one direction is carried through, and the other goes on."""

import socket

from harness.apps import App, HalfCloseApp, SourceApp


class SpeaksLast(App):
    """Ends its own direction first, then takes what comes."""

    def serve(self, connection):
        connection.send(b"hello")
        connection.sock.shutdown(socket.SHUT_WR)
        while connection.recv():
            pass


def test_the_app_answers_after_the_clients_end(gateway):
    with HalfCloseApp() as app:
        gateway.allow("half", app.address)
        with gateway.connect(app.address, gateway.sign_in("alice")) as tunnel:
            tunnel.send(b"x" * 1000)
            tunnel.half_close()
            assert tunnel.recv_all() == b"1000"


def test_the_client_sends_after_the_apps_end(gateway):
    with SpeaksLast() as app:
        gateway.allow("last", app.address)
        with gateway.connect(app.address, gateway.sign_in("alice")) as tunnel:
            assert tunnel.recv_all() == b"hello"
            tunnel.send(b"y" * 70_000)
            tunnel.half_close()
        record = gateway.wait_closed(lambda r: r["app"] == "last")
        assert (int(record["bytes_up"]), int(record["bytes_down"])) == (70_000, 5)
        assert app.connections[0].received == 70_000
        assert app.connections[0].end == "eof"
        assert record["close_reason"] == "APP_CLOSED"


def test_the_apps_end_is_a_close_notify_not_a_truncation(gateway):
    with SourceApp(10) as app:
        gateway.allow("ten", app.address)
        with gateway.connect(app.address, gateway.sign_in("alice")) as tunnel:
            # Without close_notify this raises ssl.SSLEOFError.
            assert len(tunnel.recv_all()) == 10


def test_a_client_that_vanishes_without_close_notify_is_an_error_not_an_end(gateway):
    with HalfCloseApp() as app:
        gateway.allow("half", app.address)
        tunnel = gateway.connect(app.address, gateway.sign_in("alice"))
        tunnel.send(b"x" * 10)
        # FIN without close_notify: an attacker on the way can make it, so the app must not take it for the end.
        tunnel.sock.shutdown(socket.SHUT_WR)
        record = gateway.wait_closed(lambda r: r["app"] == "half")
        assert record["close_reason"] == "CLIENT_ERROR"
        app.connections[0].over.wait(10)
        assert app.connections[0].end == "reset"
        tunnel.close()
