"""Gateways that run and are ready to be tried: alice of Finance has an account, and the app demo, an echo, is hers to use."""

import urllib.error
import urllib.request

import pytest

from .apps import EchoApp
from .build import SCALE
from .gateway import Gateway


class PreparedGateway(Gateway):
    """`app` is the echo behind demo; `trusted` is what to verify the gateway's certificate with, if not its own authority."""

    def __init__(self, directory, trusted=None, **options):
        super().__init__(directory, **options)
        self.trusted = trusted
        self.app = EchoApp()

    @property
    def ca(self):
        return self.trusted or super().ca

    def prepare(self):
        self.start()
        self.account("alice")
        self.allow("demo", self.app.address)
        return self

    def ready(self):
        """The status of /readyz."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=10 * SCALE) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def events(self):
        """All audit events from the first one on, in their order."""
        return self.ctl_json("audit", "tail", "--since", "24h")

    def assert_dense(self):
        """Every sequence from 1 on is there once: nothing was lost, nothing is there twice."""
        events = self.events()
        assert [int(e["sequence"]) for e in events] == list(range(1, len(events) + 1))
        assert len({e["gateway_id"] for e in events}) == 1

    def shipped(self):
        """Whether everything that is durable is in the store too."""
        (status,) = self.ctl_json("audit", "status")
        return int(status["shipped_sequence"]) == int(status["durable_sequence"])


def _factory(folder):
    made = []

    def make(**options):
        gateway = PreparedGateway(folder / f"prepared-{len(made)}", **options)
        made.append(gateway)
        return gateway.prepare()

    yield make
    for gateway in made:
        try:
            gateway.check()
        finally:
            gateway.app.close()
            gateway.close()
    for gateway in made:
        gateway.check()  # a leak is reported at the end of the process


@pytest.fixture
def prepared(tmp_path):
    """Makes prepared gateways; each is checked and stopped at the end."""
    yield from _factory(tmp_path)


@pytest.fixture(scope="module")
def module_prepared(tmp_path_factory):
    """As `prepared`, for the tests of one file together."""
    yield from _factory(tmp_path_factory.mktemp("module"))


@pytest.fixture
def gateway(prepared):
    return prepared()
