"""Tests of the growth measurements: `cd benches && python3 -m unittest scale.tests`."""

import contextlib
import math
import random
import socket
import threading
import unittest
import xml.dom.minidom
from unittest import mock

from lib import callgrind, page, plot, tools
from scale import client, configs, endpoint, fit, report
from scale.curves import Curve
from scale.proxy import Ports

SIZES = [1, 10, 100, 1_000, 10_000]
PORTS = Ports(1, 2, 3)


def points(cost, sizes=SIZES):
    """Returns what a cost of this shape looks like, with counts that repeat to 1%."""
    noise = random.Random(1)
    return [(n, cost(n) * noise.uniform(0.995, 1.005)) for n in sizes]


class Fitting(unittest.TestCase):
    """Which shape a curve has."""

    def test_shapes_are_told_apart(self):
        for shape, cost in {
            "flat": lambda n: 48_000,
            "logarithmic": lambda n: 48_000 + 2_000 * math.log(n),
            "root": lambda n: 48_000 + 300 * math.sqrt(n),
            "linear": lambda n: 48_000 + 3 * n,
        }.items():
            self.assertEqual(fit.fit(points(cost)).shape, shape)

    def test_slope_and_base_are_found(self):
        found = fit.fit([(n, 40_000 + 5 * n) for n in SIZES])
        self.assertAlmostEqual(found.slope, 5)
        self.assertAlmostEqual(found.base, 40_000)
        self.assertAlmostEqual(fit.fit([(n, 100 + 7 * math.log10(n)) for n in SIZES]).slope, 7)

    def test_small_linear_cost_is_seen_at_the_end(self):
        # One instruction for each of 10,000 entries beside a request of 48,000.
        self.assertFalse(fit.fit(points(lambda n: 48_000 + n)).is_bounded())

    def test_a_step_that_ends_is_not_worse_than_logarithmic(self):
        self.assertTrue(fit.fit(points(lambda n: 48_000 if n < 32 else 52_000)).is_bounded())

    def test_growth_is_told_in_words(self):
        self.assertEqual(fit.Fit("linear", 0, 2265.4).says(each="field"), "linear: +2,265 instructions for each field")
        self.assertEqual(fit.Fit("flat", 0, -0.0123).says("ms"), "flat: -0.0123 ms for each tenfold")

    def test_falling_cost_is_flat(self):
        self.assertEqual(fit.fit(points(lambda n: 60_000 if n < 5 else 48_000)).shape, "flat")

    def test_exponent_tells_a_walk_for_each_entry(self):
        self.assertAlmostEqual(fit.exponent(points(lambda n: 5 * n)), 1, places=1)
        self.assertAlmostEqual(fit.exponent(points(lambda n: n * n)), 2, places=1)


class Counting(unittest.TestCase):
    """What callgrind wrote."""

    def test_dump_is_read(self):
        lines = ["version: 1\n", "thread: 6\n", "fn=(1) a\n", "0 5\n", "summary: 12\n", "totals: 11542721\n"]
        self.assertEqual(callgrind.read(lines), (6, 11542721))

    def test_dump_without_totals_is_a_failure(self):
        with self.assertRaises(tools.Failed):
            callgrind.read(["thread: 6\n"])

    def test_a_request_is_the_difference_of_two_loads_in_the_busiest_thread(self):
        sent = []
        # 500 for each load, 40 for each request; another thread has work of its own.
        program = mock.Mock()
        program.taken.side_effect = lambda: {1: 99 * len(sent), 6: 500 + 40 * sent[-1]}
        self.assertEqual(callgrind.per_request(program, sent.append, 100), 40)
        self.assertEqual(sent, [100, 100, 300])


    def test_work_of_the_idle_worker_is_not_charged_to_requests(self):
        program, sent = mock.Mock(), []
        # 40 for each request, 1,000 for each second; a load takes a hundredth of a second for each of its requests.
        program.taken.side_effect = lambda: {6: 50 * sent[-1]}
        clock = iter([0.0, 1.0, 4.0])
        with mock.patch("lib.callgrind.time.monotonic", lambda: next(clock)):
            self.assertEqual(callgrind.per_request(program, sent.append, 100, idle=1000), 40)


class Drawing(unittest.TestCase):
    """Charts."""

    def chart(self, **changed):
        lines = {"a & b": [(1, 5.0), (10, 50.0)], "c": [(1, 5.0), (10, 51.0)]}
        return plot.svg(plot.Chart("A <title>", "N", "cost", lines, **changed))

    def test_chart_is_a_document_without_scripts_for_light_and_dark(self):
        text = self.chart()
        xml.dom.minidom.parseString(text)
        self.assertNotIn("<script", text)
        self.assertIn("prefers-color-scheme:dark", text)
        self.assertEqual(text.count("<polyline"), 2)

    def test_names_at_the_edge_do_not_touch(self):
        moved = plot.apart([100, 100, 101, 300], 50, 310)
        self.assertTrue(all(b - a >= plot.LABEL_GAP for a, b in zip(moved, moved[1:])))
        self.assertEqual(moved[0], 100)

    def test_names_stay_inside(self):
        self.assertLessEqual(max(plot.apart([300, 305, 308], 50, 310)), 310)

    def test_ticks_enclose_the_data(self):
        for low, high in ((0.2, 0.9), (47_000, 49_500), (3, 1_000_000)):
            ticks = plot.y_ticks(low, high, False)
            self.assertEqual(ticks[0], 0)
            self.assertGreaterEqual(ticks[-1], high)
            self.assertLessEqual(len(ticks), 8)
            decades = plot.y_ticks(low, high, True)
            self.assertTrue(decades[0] <= low and high <= decades[-1])

    def test_one_point_and_no_point(self):
        xml.dom.minidom.parseString(plot.svg(plot.Chart("t", "x", "y", {"a": [(1, 0.0)]})))
        with self.assertRaises(ValueError):
            plot.svg(plot.Chart("t", "x", "y"))


class Reporting(unittest.TestCase):
    """What is written and judged."""

    def curve(self, cost, **changed):
        return Curve("picks", "A request, by endpoints", "instructions per request", {"x": points(cost)}, is_judged=True, **changed)

    def test_linear_curve_is_worse_and_a_logarithmic_one_is_not(self):
        self.assertEqual(report.judge(self.curve(lambda n: 48_000 + 1_000 * math.log(n))), [])
        self.assertIn("x is linear", report.judge(self.curve(lambda n: 48_000 + 10 * n))[0])

    def test_table_has_a_column_for_each_size_also_where_a_line_has_none(self):
        curve = self.curve(lambda n: 48_000)
        curve.lines["short"] = curve.lines["x"][:2]
        rows = [line for line in report.markdown(curve).splitlines() if line.startswith("|")]
        self.assertEqual({row.count("|") for row in rows}, {len(SIZES) + 3})

    def test_the_page_has_room_for_every_group(self):
        from scale.curves import GROUPS

        text = report.PAGE.read_text(encoding="utf-8")
        for key in GROUPS:
            page.put(text, f"scale {key}", "x")


class Asking(unittest.TestCase):
    """Configs and requests."""

    def test_every_endpoint_has_a_loopback_address_of_its_own(self):
        addresses = {configs.address(number, 1) for number in range(100_000)}
        self.assertEqual(len(addresses), 100_000)
        self.assertTrue(all(text.startswith("127.") and all(int(part) < 256 for part in text[:-2].split(".")) for text in addresses))

    def test_nudged_config_differs_in_one_line(self):
        for text in (
            lambda nudged: configs.endpoints(PORTS, 20, nudged=nudged),
            lambda nudged: configs.routes(PORTS, 20, "host", nudged),
            lambda nudged: configs.pools(PORTS, 20, nudged),
            lambda nudged: configs.slots(PORTS, 20, "round_robin", nudged),
        ):
            lines = zip(text(False).splitlines(), text(True).splitlines(), strict=True)
            self.assertEqual(sum(a != b for a, b in lines), 1)

    def test_requests_ask_for_routes_all_over_the_table(self):
        for size in SIZES:
            asked = configs.asked(size)
            self.assertEqual(len(asked), min(size, configs.ASKED))
            self.assertEqual((asked[0], len(set(asked))), (size - 1, len(asked)))
            self.assertLessEqual(min(asked), size / 10)

    def test_endpoint_answers_with_what_is_asked_for(self):
        self.assertTrue(endpoint.reply(b"/bytes/5").endswith(b"\r\n\r\nxxxxx"))
        head = endpoint.reply(b"/headers/25").split(b"\r\n\r\n")[0]
        self.assertEqual(head.count(b"\r\n"), 25)


class Sending(unittest.TestCase):
    """The client against a server that answers what it is told."""

    def answered(self, reply, count):
        heard = socket.create_server(("127.0.0.1", 0))
        seen = []

        def serve():
            while True:
                try:
                    connection, _ = heard.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection):
            # A client that has had its failure leaves with answers unread.
            with connection, contextlib.suppress(ConnectionResetError):
                while data := connection.recv(65536):
                    seen.extend([1] * data.count(b"\r\n\r\n"))
                    connection.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        try:
            client.load(heard.getsockname()[1], [client.request("/a"), client.request("/b")], count, 4)
        finally:
            heard.close()
        return len(seen)

    def test_exactly_as_many_requests_are_sent(self):
        self.assertEqual(self.answered(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 11), 11)

    def test_an_error_is_a_failure(self):
        with self.assertRaisesRegex(tools.Failed, "503"):
            self.answered(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 5)


if __name__ == "__main__":
    unittest.main()
