import os
import re
import secrets
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("harness")

from harness.apps import EchoApp  # noqa: E402
from harness.build import SANITIZER  # noqa: E402
from harness.gateway import Gateway  # noqa: E402
from harness.postgresql import Cluster, psql  # noqa: E402
from instrumented import is_left_out  # noqa: E402


def pytest_collection_modifyitems(config, items):
    left_out = [item for item in items if is_left_out(SANITIZER, item.module.__name__, item.name)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    item.passed = getattr(item, "passed", True) and report.passed


@pytest.fixture
def tmp_path(request, tmp_path_factory):
    """As pytest's own, and gone when the test passed: the journals of a whole run are some gigabytes."""
    path = tmp_path_factory.mktemp(re.sub(r"\W", "_", request.node.name)[:30], numbered=True)
    yield path
    if request.node.passed:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server():
    """A superuser's URL: of the server that the run was given, or of a private one."""
    given = os.environ.get("USHER_TEST_POSTGRESQL")
    if given:
        yield given
        return
    cluster = Cluster()
    try:
        yield cluster.start().url
    finally:
        cluster.close()


@pytest.fixture
def private_cluster():
    """A PostgreSQL of the test's own, which it may stop."""
    cluster = Cluster()
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def databases_made(postgresql_server):
    """Dropped at the end of the run: a gateway must not lose its database before it has stopped."""
    made = []
    yield made
    for name in made:
        psql(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgresql_database(postgresql_server, databases_made):
    """The URL of a fresh database."""
    name = "usher_system_" + secrets.token_hex(6)
    psql(postgresql_server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
    databases_made.append(name)
    return postgresql_server.rsplit("/", 1)[0] + "/" + name


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """The configuration's value of `database`, for each kind of store."""
    if request.param == "sqlite":
        return "sqlite"
    return request.getfixturevalue("postgresql_database")


@pytest.fixture
def gateway_factory(tmp_path):
    """Makes gateways; each is checked and stopped at the end."""
    made = []

    def make(database="sqlite", config=None, env=None):
        gateway = Gateway(tmp_path / f"gateway-{len(made)}", database, config, env)
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        try:
            gateway.check()
        finally:
            gateway.close()
    for gateway in made:
        gateway.check()  # a leak is reported at the end of the process


@pytest.fixture
def echo():
    with EchoApp() as app:
        yield app


@pytest.fixture
def gateway(gateway_factory, echo):
    """Runs; has the account alice of Finance in the group staff, and the app demo, an echo, which Finance may use."""
    made = gateway_factory().start()
    made.account("alice")
    made.allow("demo", echo.address)
    return made
