"""Tests of laying out: `cd benches && python3 -m unittest layout.tests`."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from layout import bolt, training
from lib import tools
from peers.scenarios import SCENARIOS, Load

SAID = """
           308563997 : taken forward branches
           505961279 : taken branches
           611217205 : non-taken conditional branches

            37149488 : taken forward branches (-88.0%)
           127963799 : taken branches (-74.7%)
"""


class Laying(unittest.TestCase):
    """What is asked of BOLT, and what it says."""

    def test_only_names_that_are_too_long_get_others_which_differ(self):
        long, longer = "a" * (bolt.LONGEST_NAME + 1), "b" * 5000
        renamed = bolt.renamed([longer, "main", long, "a" * bolt.LONGEST_NAME, long])
        self.assertEqual([old for old, _ in renamed], [long, longer])
        self.assertEqual(len({new for _, new in renamed}), 2)

    def test_taken_branches_are_read_before_and_after(self):
        self.assertEqual(bolt.taken(SAID), (505961279, 127963799))
        self.assertIsNone(bolt.taken("BOLT-INFO: nothing to do"))

    def test_a_count_without_a_file_is_a_failure(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(tools.Failed, "nothing was counted"):
            bolt.merge(Path(folder) / "counts", Path(folder) / "all")

    def test_what_a_program_says_is_its_failure(self):
        with self.assertRaisesRegex(tools.Failed, "sh failed:\nno such thing"):
            bolt.run(["sh", "-c", "echo no such thing >&2; exit 3"])

    def test_a_version_of_debian_is_found_where_path_has_none(self):
        with mock.patch.object(tools, "find", lambda name: name if name == "/usr/lib/llvm-19/bin/llvm-bolt" else None):
            self.assertEqual(bolt.find("llvm-bolt"), "/usr/lib/llvm-19/bin/llvm-bolt")
            self.assertIsNone(bolt.find("merge-fdata"))


class Training(unittest.TestCase):
    """The loads under which branches are counted."""

    def test_a_load_with_failures_is_no_training(self):
        counted = training.Counted(mock.Mock(), mock.Mock())
        counted.said = lambda: "its log"
        scenario = mock.Mock(title="a load", listener="h1", read=lambda _: Load(10, 1, 1.0, None), command=lambda *_: ["true"])
        with self.assertRaisesRegex(tools.Failed, "1 of 10 requests failed:\nits log"):
            counted.load(scenario, 1)

    def test_every_load_of_the_comparison_is_trained(self):
        loaded = []
        with mock.patch.object(training, "Counted") as counted:
            counted.return_value.load = lambda scenario, seconds: loaded.append((scenario.key, seconds))
            training.train("binary", mock.Mock(), 3, lambda _: None)
        self.assertEqual(loaded, [(scenario.key, 3) for scenario in [*SCENARIOS, SCENARIOS[0]]])


if __name__ == "__main__":
    unittest.main()
