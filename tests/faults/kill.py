"""kill -9 of the gateway at a random moment of a mixed load, then a start, and everything compared (ADVERSARIES K1, K10)."""

import random
import time

from harness.build import SCALE

from .bench import Bench

ROUNDS_A_GATEWAY = 10


def campaign(directory, seed, rounds, database="sqlite", subscribers=2, longest=9, say=lambda text: None):
    """`rounds` kills of one gateway. Returns the bench's figures; raises at the first broken promise."""
    rng = random.Random(f"kill {seed}")
    bench = Bench(directory, seed, database, segment=rng.choice(["64KiB", "256KiB", "1MiB"]), workers=rng.choice([1, 2]))
    try:
        bench.prepare()
        bench.subscribe(subscribers)
        for number in range(rounds):
            # A long one now and then, so that the bound of five seconds means something.
            duration = rng.uniform(6, 9) if rng.random() < 0.1 else rng.choice([rng.uniform(0.02, 0.4), rng.uniform(0.4, 2.5)])
            duration = min(duration, longest)
            load = bench.load(http1=rng.randrange(2, 6), http2=rng.randrange(1, 3), pumps=rng.randrange(0, 3), holds=rng.randrange(0, 9))
            wait_answered(load, rng.randrange(0, 40))
            time.sleep(duration)  # the moment of the kill, which the seed says
            bench.gateway.kill()
            killed_at = time.monotonic()
            load.stop()
            # The next start, and its recovery, is killed as well now and then.
            while rng.random() < 0.25:
                bench.gateway.start(wait_ready=False)
                time.sleep(rng.uniform(0, 0.3))
                bench.gateway.kill()
            bench.gateway.start()
            bench.drain()
            result = bench.compare(killed_at, 5 * SCALE + 1)
            say(f"seed {seed}, kill {number + 1}: {result.answered} answered, {result.crashed} cut, behind by at most {result.behind_max}")
        bench.finish()
        return bench
    finally:
        bench.close()


def wait_answered(load, count):
    """Until so many tunnels were answered: a start from which the moment is counted. Bounded: the gateway may refuse all."""
    deadline = time.monotonic() + 20 * SCALE
    while load.answered < count and time.monotonic() < deadline and any(t.is_alive() for t in load.threads):
        time.sleep(0.005)
