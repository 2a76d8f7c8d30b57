"""Chromium without a window, driven by the DevTools protocol over a pair of pipes (--remote-debugging-pipe): its descriptors 3 and 4,
a message of JSON each, ended by a zero byte."""

import base64
import fcntl
import hashlib
import itertools
import json
import os
import select
import subprocess
import time

from .build import SCALE

QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
]  # fmt: skip
PATIENCE = 60 * SCALE


def key_hash(certificate):
    """What --ignore-certificate-errors-spki-list names a certificate's key by."""
    public = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public.stdout, check=True, capture_output=True)
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


class Chromium:
    """`credentials` are (username, password) pairs, given one after the other as often as a proxy asks for them; `asked` is what it
    asked with. Without any left the request is cancelled."""

    def __init__(self, profile, *arguments, credentials=()):
        self.credentials, self.asked = list(credentials), []
        self._ids, self._answers, self._events, self._buffer = itertools.count(1), {}, [], b""
        # Numbers that the shell below does not give to others first.
        commands, messages = ([fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in self._pipe()] for _ in range(2))
        self._in, self._out = commands[1], messages[0]
        theirs = (commands[0], messages[1])
        self.log = open(profile.with_suffix(".log"), "wb")
        self.process = subprocess.Popen(
            ["bash", "-c", 'exec 3<&"$0" 4>&"$1"; exec chromium "${@:2}"', *map(str, theirs), *QUIET, "--remote-debugging-pipe",
             f"--user-data-dir={profile}", *arguments, "about:blank"],
            pass_fds=theirs, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env={**os.environ, "HOME": str(profile)},
        )  # fmt: skip
        for end in theirs:
            os.close(end)

    @staticmethod
    def _pipe():
        ends = os.pipe()
        yield from ends
        for end in ends:
            os.close(end)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._in)
        os.close(self._out)
        self.log.close()

    def page(self, url):
        """The text of the page, once it has loaded; of an error page, `net::...`."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable", session)
        self.call("Fetch.enable", session, handleAuthRequests=True)
        self._events.clear()
        failed = self.call("Page.navigate", session, url=url).get("errorText")
        if failed:
            return failed
        self._wait(lambda: "Page.loadEventFired" in self._events)
        result = self.call("Runtime.evaluate", session, expression="document.body.innerText")
        self.call("Target.closeTarget", targetId=target)
        return result["result"]["value"]

    def call(self, method, session=None, **parameters):
        number = self._send(method, session, **parameters)
        self._wait(lambda: number in self._answers)
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _send(self, method, session, **parameters):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self._in, json.dumps(message).encode() + b"\0")
        return number

    def _wait(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            ready, _, _ = select.select([self._out], [], [], max(0, end - time.monotonic()))
            assert ready, f"waited {PATIENCE} s for chromium; it asked {self.asked}, {self._events}"
            more = os.read(self._out, 1 << 16)
            assert more, "chromium ended"
            *messages, self._buffer = (self._buffer + more).split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message):
        if "id" in message:
            self._answers[message["id"]] = message
            return
        self._events.append(message["method"])
        session, parameters = message.get("sessionId"), message["params"]
        if message["method"] == "Fetch.requestPaused":
            self._send("Fetch.continueRequest", session, requestId=parameters["requestId"])
        if message["method"] == "Fetch.authRequired":
            challenge = parameters["authChallenge"]
            self.asked.append((challenge["source"], challenge["scheme"].lower(), challenge["realm"]))
            answer = {"response": "CancelAuth"}
            if self.credentials:
                username, password = self.credentials.pop(0)
                answer = {"response": "ProvideCredentials", "username": username, "password": password}
            self._send("Fetch.continueWithAuth", session, requestId=parameters["requestId"], authChallengeResponse=answer)
