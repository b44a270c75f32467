"""The playground that the tests run in."""

import os
import pathlib
import subprocess
import time

from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

# How long anything may take that normally takes a moment; no test is about how long this is.
PATIENCE_S = 60
MASTER = "mymaster"
PRIMARY = os.environ["KV_PRIMARY"]


def sentinel(**options):
    address = pathlib.Path(os.environ["KV_PLAYGROUND_DIR"], "coordinator.redis-address").read_text().strip()
    host, port = address.rsplit(":", 1)
    return Sentinel([(host, int(port))], sentinel_kwargs={"socket_timeout": 5}, socket_timeout=5, **options)


def primary(**options):
    """A client of the primary, as its users get it."""
    return sentinel().master_for(MASTER, **options)


def without_repeating(**options):
    """A client that tells of every broken connection instead of asking again by itself."""
    return primary(retry=Retry(NoBackoff(), 0), **options)


def kill_primary():
    """kill -9 of the primary; its name."""
    return subprocess.run([PRIMARY, "kill"], check=True, capture_output=True, text=True).stdout.strip()


def restore(name):
    subprocess.run([PRIMARY, "restore", name], check=True)


def wait_until(what, probe):
    """Asks again and again until the probe gives something true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.02)
    return found
