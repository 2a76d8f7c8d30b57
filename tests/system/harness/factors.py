"""An authenticator app, as oathtool is one, and what an employee does with it."""

import json
import subprocess
import time
import urllib.parse

from .build import SCALE
from .gateway import PASSWORD
from .wait import wait_for

STEP = 30


class App:
    """Holds the seed of an otpauth:// URI. Each code is of a step that was not used before."""

    def __init__(self, uri):
        parsed = urllib.parse.urlsplit(uri)
        assert parsed.scheme == "otpauth" and parsed.netloc == "totp", uri
        query = dict(urllib.parse.parse_qsl(parsed.query))
        assert (query["algorithm"], query["digits"], query["period"], query["issuer"]) == ("SHA1", "6", "30", "Usher")
        self.label = urllib.parse.unquote(parsed.path)[1:]
        self.secret = query["secret"]
        self.used = 0

    def code_at(self, step):
        return subprocess.run(
            ["oathtool", "--totp", "--base32", f"--now=@{step * STEP}", self.secret],
            check=True, capture_output=True, text=True, timeout=20 * SCALE,
        ).stdout.strip()

    def step(self):
        """The next one that is good now: the gateway takes the step before, this one and the next, each once and in order."""

        def good():
            now = int(time.time()) // STEP
            step = max(now - 1, self.used + 1)
            return step if step <= now + 1 else None

        return wait_for(good, "a step whose code was not used", 3 * STEP)

    def lasting_code(self):
        """The newest one that is good: for at least a minute more."""
        self.used = max(int(time.time()) // STEP + 1, self.used + 1)
        return self.code_at(self.used)

    def code(self):
        self.used = self.step()
        return self.code_at(self.used)


def enroll_by_administrator(gateway, name):
    """The app and its recovery codes."""
    (answer,) = gateway.ctl_json("account", "second-factor", "enroll", name)
    assert answer["account"]["second_factor"] is True
    return App(answer["uri"]), answer["recovery_codes"]


def sign_in(gateway, name="alice", code=None, password=PASSWORD, source="127.0.0.1"):
    """Status and answer."""
    body = {"username": name, "password": password}
    if code is not None:
        body["second_factor"] = code
    return gateway.request("POST", "/.usher/v1/sessions", body, source=source)


def curl(gateway, *arguments):
    """Status and parsed JSON of one request of curl's."""
    result = subprocess.run(
        ["curl", "--silent", "--show-error", "--cacert", gateway.ca, "--write-out", "\n%{http_code}", *arguments],
        capture_output=True, text=True, timeout=60 * SCALE,
    )
    assert result.returncode == 0, result.stderr
    text, _, status = result.stdout.rpartition("\n")
    return int(status), json.loads(text) if text else None
