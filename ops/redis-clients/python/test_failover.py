"""redis-py writes through its Sentinel mode while the primary is killed."""

import threading
import time
import unittest

import redis

import cluster

WRITES_BEFORE = 200
WRITES_AFTER = 300
# Between an error and the next attempt.
PAUSE_S = 0.02


class Writer(threading.Thread):
    """Writes each number under a key of its own and counts up, and notes what it was told."""

    def __init__(self, name, client):
        super().__init__(name=name, daemon=True)
        self.client = client
        self.written = []
        self.counted = 0
        self.uncertain = 0
        self.stopped = threading.Event()

    def run(self):
        number = 0
        while not self.stopped.is_set():
            number += 1
            self._write(number)
            self._count()

    def _write(self, number):
        try:
            if self.client.set(f"{self.name}-{number}", number):
                self.written.append(number)
        except redis.RedisError:
            time.sleep(PAUSE_S)

    def _count(self):
        try:
            self.client.incr(f"{self.name}-counter")
            self.counted += 1
        except redis.RedisError:
            self.uncertain += 1
            time.sleep(PAUSE_S)


class Failover(unittest.TestCase):
    def test_every_write_that_was_acknowledged_is_there_after_the_primary_was_killed(self):
        writers = [
            Writer(f"{name}-resp{protocol}", make(protocol=protocol))
            for name, make in (("repeating", cluster.primary), ("strict", cluster.without_repeating))
            for protocol in (2, 3)
        ]
        former = cluster.sentinel().discover_master(cluster.MASTER)
        for writer in writers:
            writer.start()
        self.wait_for_writes(writers, [WRITES_BEFORE] * len(writers))
        killed = cluster.kill_primary()
        self.addCleanup(cluster.restore, killed)
        cluster.wait_until("another primary", lambda: self.master_or_none() not in (None, former))
        self.wait_for_writes(writers, [len(writer.written) + WRITES_AFTER for writer in writers])
        for writer in writers:
            writer.stopped.set()
            writer.join(cluster.PATIENCE_S)
            self.assertFalse(writer.is_alive(), "the writer ends")
        self.read_back(writers)

    def master_or_none(self):
        try:
            return cluster.sentinel().discover_master(cluster.MASTER)
        except redis.RedisError:
            return None

    def wait_for_writes(self, writers, counts):
        for writer, count in zip(writers, counts):
            cluster.wait_until(f"{count} writes by {writer.name}", lambda: len(writer.written) >= count)

    def read_back(self, writers):
        client = cluster.primary(decode_responses=True)
        self.addCleanup(client.close)
        for writer in writers:
            found = client.mget([f"{writer.name}-{number}" for number in writer.written])
            lost = [number for number, value in zip(writer.written, found) if value != str(number)]
            self.assertEqual(lost, [], f"{writer.name} was told that these were written")
            counter = int(client.get(f"{writer.name}-counter"))
            self.assertGreaterEqual(counter, writer.counted)
            # A client that asks again by itself may count twice: the protocol does not number requests.
            if writer.name.startswith("strict"):
                self.assertLessEqual(counter, writer.counted + writer.uncertain)
        print(", ".join(f"{writer.name}: {len(writer.written)} writes, {writer.uncertain} errors" for writer in writers))


if __name__ == "__main__":
    unittest.main()
