"""Tests of the benchmark itself: `cd benches && python3 -m unittest peers.tests`."""

import os
import tempfile
import unittest
import xml.etree.ElementTree as xml
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

from lib import bars, page, tools
from peers import awake, envoy, idle, latency, own, report, streams
from peers.base import Ports
from peers.measure import Result, Sample, outside
from peers.scenarios import SCENARIOS, read_h2load, read_s_time, read_wrk

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


S_TIME = """Collecting connection statistics for 2 seconds
{marks}

4 connections in 0.10s; 40.00 connections/user sec, bytes read 4732
4 connections in 3 real seconds, {size} bytes read per connection
"""
ORIGIN = report.Origin(["tidegate 1", "wrk 1", "h2load 1"], "benches/peers/run", 5, 2)


def result(nginx=(10,) * 7, again=(10,) * 7, tidegate=(9,) * 7, **changed):
    """Returns a result with these figures in microseconds."""
    found = Result(SCENARIOS[0], {name: [] for name in ("nginx", "nginx again", "haproxy", "tidegate")})
    for us in zip(nginx, again, nginx, tidegate):
        found.take(dict(zip(found.samples, (one(figure, **changed) for figure in us))))
    return found


def one(us, **changed):
    """Returns a sample."""
    return Sample(us=us, **({"busy": 1.0, "idle": 0.0, "rate": 40000.0, "p99_ms": 1.0, "errors": 0} | changed))


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

    def test_s_time_is_read(self):
        load = read_s_time(S_TIME.format(marks="****", size=1183), 1024)
        self.assertEqual((load.requests, load.errors), (4, 0))

    def test_resumed_handshakes_and_short_answers_are_errors(self):
        self.assertEqual(read_s_time(S_TIME.format(marks="*rr*", size=1183), 1024).errors, 2)
        self.assertEqual(read_s_time(S_TIME.format(marks="****", size=150), 1024).errors, 4)

    def test_output_without_figures_is_a_failure(self):
        for read in (read_wrk, read_h2load, lambda text: read_s_time(text, 1), own.read):
            with self.assertRaises(tools.Failed):
                read("unable to connect")

    def test_clients_side_by_side_are_one(self):
        scenario = next(scenario for scenario in SCENARIOS if scenario.processes > 1)
        text = S_TIME.format(marks="***r", size=1183)
        load = scenario.read([text, text])
        self.assertEqual((load.requests, load.errors), (8, 2))

    def test_own_client_is_read(self):
        self.assertEqual(own.read("chunks 12 merged 0\n"), {"chunks": 12, "merged": 0})

    def test_version_of_envoy_is_found_behind_any_path(self):
        self.assertEqual(envoy.read_version("/a/b/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL"), "envoy 1.40.0")

    def test_pss_is_read(self):
        self.assertEqual(idle.read_pss("00-ff ---p 00 00:00 0 [rollup]\nRss:  900 kB\nPss:  345 kB\nPss_Anon:  1 kB\n"), 345)


class Judging(unittest.TestCase):
    """Which runs are believed."""

    def test_quiet_run_is_believed(self):
        self.assertEqual(result().objections(), [])

    def test_ratio_is_the_median_of_the_rounds(self):
        # The machine got slower by half in the middle: each round still says the same.
        drifting = result(nginx=(10, 10, 10, 15, 15, 15, 15), again=(10, 10, 10, 15, 15, 15, 15), tidegate=(11, 11, 11, 16.5, 16.5, 16.5, 30))
        self.assertAlmostEqual(drifting.ratio("tidegate"), 1.1)

    def test_noise_is_an_objection(self):
        self.assertIn("nginx differs", result(again=(10.6,) * 7).objections()[0])
        self.assertEqual(result(again=(10.4,) * 7).objections(), [])

    def test_interval_leaves_out_as_many_as_the_binomial_distribution_allows(self):
        # Tables of the sign test, two-sided, 5%.
        self.assertEqual([outside(rounds) for rounds in (5, 6, 8, 9, 11, 12, 15, 25)], [0, 1, 1, 2, 2, 3, 4, 8])
        self.assertEqual(result(tidegate=(8, 9, 9, 9, 9, 9, 12)).interval("tidegate"), (0.8, 1.2))
        self.assertEqual(result(nginx=(10,) * 9, again=(10,) * 9, tidegate=(1, 9, 9, 9, 9, 9, 9, 9, 99)).interval("tidegate"), (0.9, 0.9))

    def test_wide_interval_is_an_objection(self):
        self.assertIn("tidegate: ratio known only to lie between 0.80 and 1.20", result(tidegate=(8, 9, 9, 9, 9, 9, 12)).objections()[0])

    def test_peer_with_a_wide_interval_is_left_out_alone_and_its_gate_is_not_met(self):
        found = result()
        for sample, us in zip(found.samples["haproxy"], (8, 9, 9, 9, 9, 9, 12)):
            sample.us = us
        found.leave_out("tidegate")
        self.assertEqual((found.objections(), list(found.samples), len(found.left_out)), ([], ["nginx", "nginx again", "tidegate"], 1))
        rows, met = report.gates(report.Findings(results=[found]))
        self.assertFalse(met)
        self.assertIn("not judged", [row[-1] for row in rows if row[2] == "haproxy"])

    def test_interval_of_nginx_against_itself_is_no_objection(self):
        self.assertEqual(result(again=(8, 10, 10, 10, 10, 10, 12)).objections(), [])

    def test_rounds_go_on_until_the_intervals_are_narrow(self):
        self.assertTrue(result().settled())
        self.assertFalse(result(tidegate=(8.5, 9, 9, 9, 9, 9, 9.5)).settled())
        self.assertFalse(result(tidegate=(9,) * 5).settled())

    def test_failed_request_is_an_objection(self):
        self.assertIn("requests failed", result(errors=1).objections()[0])

    def test_round_in_which_a_proxy_was_not_the_limit_does_not_count(self):
        found = result()
        found.take({name: one(99, busy=0.9 if name == "haproxy" else 1) for name in found.samples})
        self.assertEqual((found.kept(), found.ratio("tidegate"), len(found.dropped)), (7, 0.9, 1))
        self.assertEqual(found.objections(), [])

    def test_too_few_rounds_are_an_objection_with_the_reason(self):
        said = result(busy=0.8, idle=0.19).objections()
        self.assertIn("0 of 7 rounds can be used, 6 are needed: nginx: busy for 0.80", said[0])
        self.assertIn("client or endpoints", said[0])
        self.assertIn("others took the core", result(busy=0.8, idle=0.01).objections()[0])

    def test_idle_client_is_no_objection_where_the_proxy_cannot_be_the_limit(self):
        found = Result(next(scenario for scenario in SCENARIOS if scenario.key == "handshake"), {"nginx": [], "nginx again": []})
        for _ in range(6):
            found.take({name: one(9, busy=0.5) for name in found.samples})
        self.assertEqual(found.objections(), [])


class Waking(unittest.TestCase):
    """The loops that keep the cores awake."""

    def test_loop_gives_way_and_ends_with_the_stack(self):
        with ExitStack() as stack:
            keepers = awake.keep(stack)
            while not all(awake.idle(keeper) for keeper in keepers.values()):
                self.assertEqual([keeper.poll() for keeper in keepers.values()], [None, None])
            while os.sched_getscheduler(keepers[0].pid) != os.SCHED_IDLE:
                self.assertIsNone(keepers[0].poll())
        self.assertTrue(all(keeper.poll() is not None for keeper in keepers.values()))


class Extras(unittest.TestCase):
    """Memory, streams and latency."""

    def test_memory_is_what_the_connections_added(self):
        found = {"tidegate": idle.Memory(1000, 1000 + 9000 * 12, 9000), "envoy": idle.Memory(5000, 5000 + 9000 * 10, 9000)}
        self.assertEqual([row[0::3] for row in idle.gates(found)], [("itself", True), ("envoy", False)])

    def test_memory_is_judged_only_with_all_that_is_compared(self):
        found = {"tidegate": None, "nginx": None}
        self.assertTrue(idle.judged(found, ["nginx", "haproxy", "tidegate"]))
        self.assertFalse(idle.judged(found, ["nginx", "envoy", "tidegate"]))

    def test_merged_and_missing_chunks_are_told(self):
        figures = {"chunks": 1000, "merged": 100, "ended": 0, "p50_ns": 1_000_000, "p99_ns": 2_000_000}
        one = streams.read(figures, 5_000_000)
        self.assertEqual((one.us, one.alone, one.p99_ms), (5.0, 0.9, 2.0))
        said = streams.objections({"nginx": [one], "nginx again": [one]}, 1)
        self.assertEqual(said[0], "nginx: 1000 chunks of 40000 came in time")

    def test_noise_of_streams_is_an_objection(self):
        plain = {"chunks": 40000, "alone": 1.0, "p50_ms": 1.0, "p99_ms": 1.0}
        found = {name: [streams.Sample(us=us, ended=0, **plain)] for name, us in (("nginx", 5.0), ("nginx again", 5.6))}
        self.assertIn("nginx differs", streams.objections(found, 1)[0])
        found["nginx again"][0].us, found["nginx"][0].ended = 5.4, 3
        self.assertEqual(streams.objections(found, 1), ["nginx: 3 streams ended"])

    def test_added_latency_is_compared_within_a_round(self):
        found = {latency.DIRECT: [(10, 20), (30, 60), (10, 20)], "nginx": [(40, 70), (62, 130), (41, 75)]}
        self.assertEqual((latency.added(found, "nginx", 0), latency.added(found, "nginx", 1)), (31, 55))


class Configuring(unittest.TestCase):
    """What is written for Envoy."""

    def test_envoy_has_every_listener_and_no_limit(self):
        around = SimpleNamespace(endpoints=[1, 2, 3, 4], certificate="c", key="k")
        made = envoy.configuration(Ports(11, 12, 13, 14), around)["static_resources"]
        ports = [each["address"]["socket_address"]["port_value"] for each in made["listeners"]]
        self.assertEqual(sorted(ports), [11, 12, 13, 14])
        for cluster in made["clusters"]:
            self.assertEqual(len(cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]), 4)
            self.assertEqual(set(cluster["circuit_breakers"]["thresholds"][0].values()), {envoy.NO_LIMIT})


class Drawing(unittest.TestCase):
    """The picture."""

    def test_picture_is_sound_and_has_a_bar_for_each_value(self):
        groups = [bars.Group("a & b, <c>", [1.0, None, 2.0], 1.5), bars.Group("d", [0.5, 3.0, 1.0])]
        root = xml.fromstring(bars.svg("title", "note", ["x", "y", "z"], groups))
        space = "{http://www.w3.org/2000/svg}"
        drawn = [bar for bar in root.iter(f"{space}rect") if bar.get("height") == str(bars.BAR - 2)]
        self.assertEqual(len(drawn), 5)
        widths = [float(bar.get("width")) for bar in drawn]
        self.assertAlmostEqual(widths[1] / widths[0], 2, places=2)
        self.assertLess(max(widths) + bars.LABEL_WIDTH, bars.WIDTH)
        self.assertEqual([], list(root.iter(f"{space}script")))

    def test_plot_leaves_nginx_out(self):
        self.assertIn(">tidegate<", report.plot([result()], ORIGIN))
        self.assertNotIn("nginx again", report.plot([result()], ORIGIN))


class Reporting(unittest.TestCase):
    """What is written."""

    def test_missed_gate_is_told(self):
        self.assertTrue(report.gates(report.Findings(results=[result()]))[1])
        rows, met = report.gates(report.Findings(results=[result(tidegate=(12.5,) * 7)]))
        self.assertFalse(met)
        self.assertIn("**missed**", rows[0])

    def test_each_of_ours_is_judged_by_itself(self):
        found = result(tidegate=(12.5,) * 7)
        found.samples["tidegate pgo"] = found.samples["nginx"]
        rows, met = report.gates(report.Findings(results=[found]))
        self.assertFalse(met)
        self.assertEqual([row[-1] for row in rows if row[2] == "nginx"], ["**missed**", "met"])
        self.assertEqual([row[1] for row in rows if row[2] == "nginx"], ["tidegate", "tidegate pgo"])

    def test_gate_of_a_refused_load_is_not_met(self):
        self.assertFalse(report.gates(report.Findings(unjudged=["a load"]))[1])

    def test_gate_against_a_peer_that_is_not_there_is_not_asked(self):
        rows, _ = report.gates(report.Findings(results=[result()]))
        self.assertEqual([row[2] for row in rows], ["nginx", "haproxy"])

    def test_refused_load_is_in_the_report_with_its_reason(self):
        text = report.markdown(report.Findings([result()], refused=[("a load", ["too noisy", "others"])], notes=["Without Envoy."]), ORIGIN)
        self.assertIn("| a load | refused: too noisy (and 1 more) |", text)
        self.assertIn("Without Envoy.", text)

    def test_report_of_extras_alone_stands(self):
        findings = report.Findings(memory={"nginx": idle.Memory(0, 9000, 9000)}, latency={latency.DIRECT: [(1, 2)], "nginx": [(5, 8)]})
        text = report.markdown(findings, ORIGIN)
        self.assertIn("| nginx | 1.00 |", text)
        self.assertIn("| nginx | 5 us | 8 us | 4 us | 6 us |", text)
        self.assertFalse(report.Findings(refused=[("a load", ["noise"])]).anything())


class Paging(unittest.TestCase):
    """Where it is written."""

    def test_parts_replace_what_is_between_their_markers_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.md"
            (a, b), (c, d) = page.markers("one"), page.markers("another")
            path.write_text(f"before\n{a}\nold\n{b}\nbetween\n{c}\n{d}\nafter\n")
            for text in ("new", "newer"):
                page.write(path, {"one": text, "another": "more"})
            self.assertEqual(path.read_text(), f"before\n{a}\n\nnewer\n{b}\nbetween\n{c}\n\nmore\n{d}\nafter\n")

    def test_page_without_markers_is_left_alone(self):
        begin, end = page.markers("one")
        for wrong in ("no markers\n", f"{end}\n{begin}\n", f"{begin}{end}{begin}{end}", f"{begin}{end}"):
            with self.subTest(wrong), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "page.md"
                path.write_text(wrong)
                with self.assertRaises(tools.Failed):
                    page.write(path, {"one": "new", "another": "new"})
                self.assertEqual(path.read_text(), wrong)

    def test_table_has_figures_to_the_right(self):
        self.assertEqual(page.table(["a", "b"], [["x", "1"]], ("a",)), "| a | b |\n| --- | ---: |\n| x | 1 |\n")


if __name__ == "__main__":
    unittest.main()
