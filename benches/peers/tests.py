"""Tests of the benchmark itself: `cd benches && python3 -m unittest peers.tests`."""

import tempfile
import unittest
from pathlib import Path

from lib import tools
from peers import report
from peers.measure import Result, Sample
from peers.scenarios import SCENARIOS, read_h2load, read_wrk

WRK = """Running 2s test @ http://127.0.0.1:4000/1k
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.60ms  450.00us   9.00ms   90.00%
  Latency Distribution
     50%    1.50ms
     99%  980.00us
  80000 requests in 2.01s, 90.00MB read
Requests/sec:  39800.50
"""
H2LOAD = """finished in 2.01s, 51374.50 req/s, 55.00MB/s
requests: 102749 total, 102749 started, 102749 done, {good} succeeded, {bad} failed, {bad} errored, 0 timeout
status codes: {good} 2xx, 0 3xx, 3 4xx, 0 5xx
"""


def result(nginx=(10, 10, 10, 10, 10), again=(10, 10, 10, 10, 10), tidegate=(9, 9, 9, 9, 9), **changed):
    """Returns a result with these figures in microseconds."""
    rounds = {"nginx": nginx, "nginx again": again, "haproxy": nginx, "tidegate": tidegate}
    plain = {"busy": 1.0, "idle": 0.0, "rate": 40000.0, "p99_ms": 1.0, "errors": 0} | changed
    return Result(SCENARIOS[0], {name: [Sample(us=us, **plain) for us in figures] for name, figures in rounds.items()})


class Reading(unittest.TestCase):
    """What clients print."""

    def test_wrk_is_read(self):
        load = read_wrk(WRK)
        self.assertEqual((load.requests, load.errors, load.rate, load.p99_ms), (80000, 0, 39800.5, 0.98))

    def test_errors_of_wrk_are_counted(self):
        text = WRK + "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\n"
        self.assertEqual(read_wrk(text).errors, 15)

    def test_h2load_is_read(self):
        load = read_h2load(H2LOAD.format(good=102742, bad=4))
        self.assertEqual((load.requests, load.errors, load.rate, load.p99_ms), (102742, 7, 51374.5, None))

    def test_output_without_figures_is_a_failure(self):
        for read in (read_wrk, read_h2load):
            with self.assertRaises(tools.Failed):
                read("unable to connect")


class Judging(unittest.TestCase):
    """Which runs are believed."""

    def test_quiet_run_is_believed(self):
        self.assertEqual(result().objections(), [])

    def test_ratio_is_the_median_of_the_rounds(self):
        # The machine got slower by half in the middle: each round still says the same.
        drifting = result(nginx=(10, 10, 15, 15, 15), tidegate=(11, 11, 16.5, 16.5, 30))
        self.assertAlmostEqual(drifting.ratio("tidegate"), 1.1)

    def test_noise_is_an_objection(self):
        self.assertIn("nginx differs", result(again=(10.6,) * 5).objections()[0])
        self.assertEqual(result(again=(10.4,) * 5).objections(), [])

    def test_spread_is_an_objection(self):
        self.assertIn("tidegate: spread", result(tidegate=(9, 9, 9, 9, 11)).objections()[0])

    def test_failed_request_is_an_objection(self):
        self.assertIn("requests failed", result(errors=1).objections()[0])

    def test_idle_core_accuses_the_client_and_a_taken_one_others(self):
        self.assertIn("client or endpoints", result(busy=0.8, idle=0.19).objections()[0])
        self.assertIn("others took the core", result(busy=0.8, idle=0.01).objections()[0])


class Reporting(unittest.TestCase):
    """What is written."""

    def test_missed_gate_is_told(self):
        self.assertTrue(report.gates([result()])[1])
        rows, met = report.gates([result(tidegate=(12.5,) * 5)])
        self.assertFalse(met)
        self.assertIn("**missed**", rows[0])

    def test_report_replaces_what_is_between_the_markers_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
            for text in ("new", "newer"):
                report.write(page, text)
            self.assertEqual(page.read_text(), f"before\n{report.BEGIN}\n\nnewer\n{report.END}\nafter\n")

    def test_page_without_markers_is_left_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text("no markers\n")
            with self.assertRaises(tools.Failed):
                report.write(page, "new")
            self.assertEqual(page.read_text(), "no markers\n")


if __name__ == "__main__":
    unittest.main()
