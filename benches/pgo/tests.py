"""Tests of the profile-guided build: `cd benches && python3 -m unittest pgo.tests`."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from lib import tools
from peers.scenarios import SCENARIOS, Load
from pgo import llvm, training

SAID = """rustc 1.95.0 (59807616e 2026-04-14)
binary: rustc
host: x86_64-unknown-linux-gnu
release: 1.95.0
LLVM version: 22.1.2
"""
RUST = llvm.Compiler("x86_64-unknown-linux-gnu", "22", Path("/rust"))


class Compiling(unittest.TestCase):
    """What is asked of rustc and LLVM."""

    def test_rustc_says_its_host_and_its_llvm(self):
        self.assertEqual(llvm.described(SAID, Path("/rust")), RUST)
        with self.assertRaisesRegex(tools.Failed, "neither"):
            llvm.described("rustc 1.95.0", Path("/rust"))

    def test_llvm_profdata_is_rustups_or_debians_of_the_same_version(self):
        rustup = "/rust/lib/rustlib/x86_64-unknown-linux-gnu/bin/llvm-profdata"
        for there, found in [
            ([rustup, "/usr/lib/llvm-22/bin/llvm-profdata"], rustup),
            (["/usr/lib/llvm-22/bin/llvm-profdata"], "/usr/lib/llvm-22/bin/llvm-profdata"),
            (["llvm-profdata", "/usr/lib/llvm-19/bin/llvm-profdata"], None),
        ]:
            with self.subTest(there=there), mock.patch.object(tools, "find", lambda name, there=there: name if name in there else None):
                self.assertEqual(llvm.present(RUST), found)

    def test_what_is_missing_is_told_with_how_to_install_it(self):
        with mock.patch.object(tools, "find", lambda _: None), self.assertRaisesRegex(tools.Failed, "rustup component add llvm-tools"):
            llvm.profdata(RUST)

    def test_the_flag_comes_behind_those_of_the_environment(self):
        with mock.patch.dict("os.environ", {"RUSTFLAGS": "-Ctarget-cpu=native"}), mock.patch.object(llvm.subprocess, "run") as ran:
            ran.return_value.returncode = 0
            built = llvm.build(RUST, "-Cprofile-generate", Path("/t"))
        self.assertEqual(built, Path("/t/x86_64-unknown-linux-gnu/release/tidegate"))
        self.assertEqual(ran.call_args.kwargs["env"]["RUSTFLAGS"], "-Ctarget-cpu=native -Cprofile-generate")

    def test_a_count_without_a_file_is_a_failure(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(tools.Failed, "nothing was counted"):
            llvm.merge("llvm-profdata", Path(folder), Path(folder) / "profile")

    def test_what_a_program_says_is_its_failure(self):
        with self.assertRaisesRegex(tools.Failed, "sh failed:\nno such thing"):
            llvm.run(["sh", "-c", "echo no such thing >&2; exit 3"])


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
