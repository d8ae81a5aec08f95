"""Tests of the guard itself: `cd benches && python3 -m unittest instructions.tests`."""

import tempfile
import unittest
from pathlib import Path

from instructions import accepted, callgrind, layering, strace
from lib import tools

# `inner` is called twice by `outer`; names are given once and then stand for themselves; a hash ends a legacy name.
PROFILE = """# callgrind format
version: 1
positions: line
events: Ir
summary: 175

fl=(1) a.rs
fn=(1) crate::outer::h0123456789abcdef
12 5
+3 20
cfi=(2) b.rs
cfn=(2) crate::inner
calls=2 7
+1 150
fi=(3) inlined.rs
9 0

fn=(2)
7 100
* 50
totals: 175
"""
STRACE = """strace: Process 12 attached
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ------------------
 60.00    0.100000          10      8000           writev
 39.00    0.050000          10      8100       100 recvfrom
  1.00    0.000000           0         2         1 openat
------ ----------- ----------- --------- --------- ------------------
100.00    0.150000          10     16102       101 total
"""
OLD = {"rustc": "1.95.0", "libc": "glibc 2.36"}


class Profiles(unittest.TestCase):
    """What callgrind writes."""

    def test_own_and_inclusive_cost_are_told_apart(self):
        profile = callgrind.read(PROFILE.splitlines(keepends=True))
        self.assertEqual(profile.own, {"crate::outer": 25, "crate::inner": 150})
        self.assertEqual(profile.inclusive, {"crate::outer": 175, "crate::inner": 150})
        self.assertEqual(profile.total(), 175)

    def test_difference_has_functions_of_either_side(self):
        self.assertEqual(callgrind.per_request({"a": 10, "b": 4}, {"a": 30, "c": 8}, 4), {"a": 5, "b": -1, "c": 2})

    def test_empty_profile_is_a_failure(self):
        with self.assertRaises(tools.Failed):
            callgrind.read(["events: Ir\n"])


class Calls(unittest.TestCase):
    """What strace writes."""

    def test_summary_is_read_with_and_without_errors_and_without_its_total(self):
        self.assertEqual(strace.read(STRACE), {"writev": 8000, "recvfrom": 8100, "openat": 2})

    def test_calls_of_the_start_cancel_out(self):
        fewer, more = strace.read(STRACE), strace.read(STRACE.replace("8000", "16000").replace("8100", "16500"))
        self.assertEqual(strace.per_request(fewer, more, 4000), {"recvfrom": 2.1, "writev": 2.0})

    def test_refused_trace_is_a_failure(self):
        with self.assertRaises(tools.Failed):
            strace.read("strace: ptrace(PTRACE_TRACEME, ...): Operation not permitted\n")


class Judging(unittest.TestCase):
    """What passes."""

    def judge(self, measured, taken_with=OLD):
        return accepted.judge({"h1": measured}, accepted.Accepted(OLD, {"h1": 1000}), taken_with)

    def test_little_more_passes_and_too_much_does_not(self):
        self.assertTrue(self.judge(1029)[1])
        lines, passed = self.judge(1031)
        self.assertFalse(passed)
        self.assertIn("MORE THAN +3%", "\n".join(lines))
        self.assertIn("--accept", lines[-1])

    def test_much_less_passes_and_asks_for_a_lower_figure(self):
        lines, passed = self.judge(960)
        self.assertTrue(passed)
        self.assertIn("Lower the accepted figure", lines[-1])
        self.assertNotIn("Lower", "\n".join(self.judge(975)[0]))

    def test_load_without_accepted_figure_does_not_pass(self):
        self.assertFalse(accepted.judge({"h2": 1}, accepted.Accepted(OLD, {"h1": 1000}), OLD)[1])

    def test_other_compiler_is_told(self):
        self.assertIn("1.96.0", "\n".join(self.judge(1000, OLD | {"rustc": "1.96.0"})[0]))
        self.assertNotIn("taken with", "\n".join(self.judge(1000)[0]))


class Layering(unittest.TestCase):
    """The layers of a route."""

    def test_what_several_layers_write_at_one_place_is_one_key(self):
        given = [layering.PLAIN, *layering.LAYERS]
        keys = [line.split(":")[0] for line in layering.merged(given, "route")]
        self.assertEqual(sorted(keys), sorted(set(keys)))
        self.assertIn("timeouts: { total: 60s, attempt: 60s }", layering.merged(given, "route"))
        self.assertIn("retry: {}", layering.merged(given, "route"))

    def test_every_layer_has_a_key_of_its_own_and_writes_something(self):
        keys = [layer.key for layer in layering.LAYERS]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertTrue(all(layer.route or layer.pool or layer.top for layer in layering.LAYERS))


class Storing(unittest.TestCase):
    """The file."""

    def test_accepting_one_load_keeps_the_others_and_sorts(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "accepted.json"
            accepted.store({"tls": 3.4, "h1": 1.0}, OLD, page)
            accepted.store({"h1": 2.6}, OLD, page)
            self.assertEqual(accepted.load(page), accepted.Accepted(OLD, {"h1": 3, "tls": 3}))
            text = page.read_text()
            self.assertLess(text.index('"h1"'), text.index('"tls"'))

    def test_spoilt_file_is_a_failure(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "accepted.json"
            page.write_text("{")
            with self.assertRaises(tools.Failed):
                accepted.load(page)

    def test_compiler_is_read_from_the_program(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "program"
            program.write_bytes(b"\x7fELF\0rustc version 1.95.0 (59807616e 2026-04-14)\0GCC\0")
            self.assertEqual(accepted.surroundings(program)["rustc"], "1.95.0 (59807616e 2026-04-14)")


if __name__ == "__main__":
    unittest.main()
