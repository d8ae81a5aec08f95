"""Tests of the soak itself: `cd benches && python3 -m unittest soak.tests`."""

import json
import tempfile
import unittest
from pathlib import Path

from soak import agent, verdict
from soak.clients import described
from soak.journal import Journal
from soak.proxy import AccessLog, Metrics

GOOD = {"route": "h1", "status": 200, "outcome": "completed"}
PAGE = """# TYPE tidegate_requests_total counter
tidegate_requests_total{listener="plain",route="get",status_class="2xx"} 10
tidegate_requests_total{listener="tls",route="get",status_class="2xx"} 5
tidegate_requests_total{listener="plain",route="leave",status_class="4xx"} 7
tidegate_requests_in_flight{listener="plain",route="get"} 0
tidegate_panics_total 0
"""


def journal(done, unsure=None):
    """Returns a journal with these counts."""
    made = Journal(lambda _: None)
    made.done.update(done)
    made.unsure.update(unsure or {})
    return made


class Lines(unittest.TestCase):
    """Straight lines through samples."""

    def test_slope_of_a_line_is_its_own(self):
        line = verdict.slope([(second, 100 + 2 * second) for second in range(61)])
        self.assertAlmostEqual(line.per_minute, 120)
        self.assertAlmostEqual(line.growth, 120)

    def test_few_points_have_none(self):
        self.assertEqual(verdict.slope([]).per_minute, 0)
        self.assertEqual(verdict.slope([(1, 5)]).per_minute, 0)

    def test_leak_is_found_and_saw_teeth_are_not(self):
        leak = [(second, 30_000 + second * 40 + second % 9 * 300) for second in range(600)]
        teeth = [(second, 30_000 + second % 9 * 300) for second in range(600)]
        self.assertIn("memory grows", verdict.memory(leak))
        self.assertIsNone(verdict.memory(teeth))

    def test_descriptors_that_stay_open_are_found(self):
        self.assertIsNone(verdict.descriptors(30, 30 + verdict.MORE_DESCRIPTORS))
        self.assertIn("file descriptors", verdict.descriptors(30, 31 + verdict.MORE_DESCRIPTORS))


class Counts(unittest.TestCase):
    """Counts of the proxy against those of the clients."""

    def test_equal_counts_agree(self):
        self.assertEqual(verdict.counters(Metrics(PAGE), journal({"get": 15, "leave": 5}, {"leave": 3})), [])

    def test_request_that_only_one_side_knows_is_found(self):
        for count in (14, 16):
            self.assertIn("route get", verdict.counters(Metrics(PAGE), journal({"get": count}))[0])

    def test_clients_that_left_have_bounds(self):
        for done, unsure in ((8, 1), (5, 1)):
            self.assertIn("route leave", verdict.counters(Metrics(PAGE), journal({"leave": done}, {"leave": unsure}))[0])

    def test_what_still_runs_or_has_panicked_is_found(self):
        page = PAGE.replace('route="get"} 0', 'route="get"} 1').replace("panics_total 0", "panics_total 2")
        found = verdict.counters(Metrics(page), journal({"get": 15}))
        self.assertEqual([text.split(" after")[0] for text in found], ["1 requests in flight", "2 panics"])

    def test_refused_reload_is_found(self):
        page = PAGE + 'tidegate_config_reloads_total{result="applied"} 9\ntidegate_config_reloads_total{result="invalid"} 1\n'
        self.assertEqual(verdict.counters(Metrics(page), journal({})), ["1 reloads were invalid"])

    def test_missing_log_line_is_found_unless_it_was_dropped(self):
        self.assertIsNone(verdict.log_lines(8, 2, 10))
        self.assertIn("8 lines", verdict.log_lines(8, 1, 10))


class Log(unittest.TestCase):
    """The access log."""

    def read(self, *lines):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "access.log"
            path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
            log = AccessLog(Path(folder), None, journal({}))
            log.finish()
            return log

    def test_good_lines_are_counted(self):
        log = self.read(GOOD, GOOD, GOOD | {"route": "h2"})
        self.assertEqual((log.lines, log.journal.failed), ({"h1": 2, "h2": 1}, 0))

    def test_failed_line_is_a_failure_with_its_reason(self):
        log = self.read(GOOD | {"status": 502, "outcome": "failed", "reason": "reset"})
        self.assertIn("reason=reset", log.journal.failures[0].what)

    def test_client_may_leave_only_where_clients_leave(self):
        left = {"status": 499, "outcome": "aborted", "reason": "client_abort"}
        self.assertEqual(self.read(left | {"route": "leave"}).journal.failed, 0)
        self.assertEqual(self.read(left | {"route": "h1"}).journal.failed, 1)

    def test_stream_that_was_cut_is_a_failure(self):
        self.assertEqual(self.read(GOOD | {"route": "sse", "outcome": "truncated"}).journal.failed, 1)


class Bytes(unittest.TestCase):
    """What is compared."""

    def test_content_depends_on_its_token_and_has_its_size(self):
        self.assertEqual(len(agent.content(1000, "a")), 1000)
        self.assertNotEqual(agent.content(100, "a"), agent.content(100, "b"))

    def test_reason_of_the_proxy_is_told(self):
        problem = json.dumps({"reason": "queue_full", "detail": "no slot"}).encode()
        self.assertEqual(described(503, {"content-type": "application/problem+json"}, problem), "503 queue_full: no slot")
        self.assertIn("of the endpoint", described(503, {}, b"no"))


if __name__ == "__main__":
    unittest.main()
