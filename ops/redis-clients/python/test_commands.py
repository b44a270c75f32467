"""redis-py against the primary: what its users call, in both versions of the protocol."""

import time
import unittest

import redis

import cluster


class Commands:
    """The tests; a class for each version of the protocol sets `protocol`."""

    protocol = None

    def setUp(self):
        self.client = cluster.primary(protocol=self.protocol, decode_responses=True)
        self.addCleanup(self.client.close)
        self.client.flushdb()

    def test_speaks_the_version_that_was_asked_for(self):
        self.assertEqual(self.client.client_info()["resp"], str(self.protocol))
        self.assertEqual(self.client.role()[0], "master")

    def test_strings(self):
        self.assertTrue(self.client.set("greeting", "hello", ex=60))
        self.assertEqual(self.client.get("greeting"), "hello")
        self.assertIn(self.client.ttl("greeting"), range(1, 61))
        self.assertIsNone(self.client.set("greeting", "hi", nx=True))
        self.assertIsNone(self.client.get("nothing"))
        self.assertTrue(self.client.mset({"a": 1, "b": "two"}))
        self.assertEqual(self.client.mget("a", "nothing", "b"), ["1", None, "two"])
        self.assertEqual(self.client.incrby("a", 41), 42)
        self.assertEqual(self.client.delete("a", "b", "nothing"), 2)
        self.assertEqual(self.client.incrbyfloat("float", 0.5), 0.5)

    def test_any_bytes(self):
        client = cluster.primary(protocol=self.protocol)
        self.addCleanup(client.close)
        key = value = bytes(range(256)) + b"\r\n$-1\r\n"
        self.assertTrue(client.set(key, value))
        self.assertEqual(client.get(key), value)
        large = b"x" * (5 << 20)
        self.assertTrue(client.set("large", large))
        self.assertEqual(client.get("large"), large)

    def test_what_the_server_refuses_is_an_error(self):
        self.client.set("text", "hello")
        with self.assertRaisesRegex(redis.ResponseError, "value is not an integer or out of range"):
            self.client.incr("text")
        with self.assertRaisesRegex(redis.ResponseError, "unknown command 'LPUSH', with args beginning with: 'a' 'b'"):
            self.client.execute_command("LPUSH", "a", "b")

    def test_pipeline(self):
        with self.client.pipeline(transaction=False) as pipeline:
            for number in range(1000):
                pipeline.set(f"key-{number}", number)
                pipeline.get(f"key-{number}")
            self.assertEqual(pipeline.execute(), [answer for number in range(1000) for answer in (True, str(number))])

    def test_an_error_in_a_pipeline_is_told_where_it_happened(self):
        with self.client.pipeline(transaction=False) as pipeline:
            answers = pipeline.set("a", "text").incr("a").get("a").execute(raise_on_error=False)
        self.assertEqual([answers[0], answers[2]], [True, "text"])
        self.assertIsInstance(answers[1], redis.ResponseError)

    def test_transaction(self):
        with self.client.pipeline(transaction=True) as transaction:
            self.assertEqual(transaction.incr("a").incr("a").get("a").execute(), [1, 2, "2"])

    def test_a_watched_key_that_changes_keeps_the_transaction_from_being_done(self):
        with self.client.pipeline() as transaction:
            transaction.watch("a")
            self.client.set("a", "by another")
            transaction.multi()
            transaction.set("a", "mine")
            with self.assertRaises(redis.WatchError):
                transaction.execute()
        self.assertEqual(self.client.get("a"), "by another")

    def test_a_function_is_repeated_until_nobody_interferes(self):
        interferences = iter(["5", "6"])

        def double(transaction):
            value = int(transaction.get("a") or 0)
            if (interference := next(interferences, None)) is not None:
                self.client.set("a", interference)
            transaction.multi()
            transaction.set("a", 2 * value)

        self.assertEqual(self.client.transaction(double, "a"), [True])
        self.assertEqual(self.client.get("a"), "12")

    def test_publish_and_subscribe(self):
        with self.client.pubsub(ignore_subscribe_messages=True) as listener:
            listener.subscribe("news")
            listener.psubscribe("w*")
            listener.get_message(timeout=0)
            cluster.wait_until("the subscription", lambda: self.client.publish("news", "none yet") == 1)
            cluster.wait_until("the pattern", lambda: self.client.publish("weather", "sun") == 1)
            heard = set()

            def listened():
                message = listener.get_message(timeout=0.1)
                if message:
                    heard.add((message["type"], message["channel"], message["data"]))
                return {("message", "news", "none yet"), ("pmessage", "weather", "sun")} <= heard

            cluster.wait_until("both messages", listened)

    def test_scan_finds_every_key_once_it_is_there(self):
        names = {f"scanned:{number}" for number in range(2500)}
        self.client.mset({name: "1" for name in names})
        self.client.mset({f"other:{number}": "1" for number in range(2500)})
        found = list(self.client.scan_iter(match="scanned:*", count=100))
        self.assertEqual(set(found), names)
        self.assertEqual(self.client.dbsize(), 5000)

    def test_keys_go_by_themselves(self):
        self.client.set("short", "lived", px=50)
        cluster.wait_until("the key to go", lambda: self.client.get("short") is None)
        self.assertEqual(self.client.ttl("short"), -2)

    def test_a_lock_has_one_owner(self):
        """The recipe with SET NX alone: redis-py's own lock needs scripts."""
        self.assertTrue(self.client.set("lock", "me", nx=True, px=60_000))
        self.assertIsNone(self.client.set("lock", "you", nx=True, px=60_000))

    def test_several_copies_hold_what_was_written(self):
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.set("a", "1")
            pipeline.wait(2, 10_000)
            self.assertEqual(pipeline.execute(), [True, 2])

    def test_information(self):
        self.assertEqual(self.client.info("replication")["role"], "master")
        self.assertIn("get", self.client.command())
        self.assertLess(abs(self.client.time()[0] - time.time()), cluster.PATIENCE_S)
        self.assertTrue(self.client.ping())


class Version2(Commands, unittest.TestCase):
    protocol = 2


class Version3(Commands, unittest.TestCase):
    protocol = 3


class OfSentinel(unittest.TestCase):
    def test_replicas_answer_reads_that_may_be_old(self):
        primary = cluster.primary(decode_responses=True)
        self.addCleanup(primary.close)
        self.assertEqual(len(cluster.sentinel().discover_slaves(cluster.MASTER)), 2)
        primary.set("a", "1")
        replica = cluster.sentinel().slave_for(cluster.MASTER, decode_responses=True)
        self.addCleanup(replica.close)
        self.assertEqual(replica.role()[0], "slave")
        replica.readonly()
        cluster.wait_until("the replica to have applied it", lambda: replica.get("a") == "1")
        with self.assertRaises(redis.ReadOnlyError):
            replica.set("a", "2")


if __name__ == "__main__":
    unittest.main()
