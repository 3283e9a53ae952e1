#!/usr/bin/env python3
"""The predictions of roofline.py, by hand. Usage: roofline_test.py [GAZE_LAUNCH_SHAPES]"""
import json
import subprocess
import sys
import unittest

import roofline

H200 = roofline.GPUS[0]
PLAIN = {"registers": 64, "spill_bytes": 0, "shared_bytes": 2048, "threads": 256, "blocks_per_sm": 4, "instructions_total": 600, "plain_path": 100,
         "loads_in_flight": 2, "atomics": []}
LAUNCH = {"kernel": "draw<1>", "grid": [1056, 1, 1], "threads": 256, "shared_bytes": 0, "parameter_bytes": 8}


def shape(**given):
    return roofline.Shape(**{"unit": "overlay", "reads": 16 * 256 * 1056 * 4, "writes": 0, "formula": "", "pieces": 256 * 1056 * 4, **given})


class Rooms(unittest.TestCase):
    def test_registers_threads_and_shared_memory_bound_it(self):
        self.assertEqual(roofline.room(PLAIN, 256, 0, H200), 4)  # 65536 / (64 * 256)
        self.assertEqual(roofline.room({**PLAIN, "registers": 65}, 256, 0, H200), 3)  # 65 * 32 = 2080, rounded up to 2304
        self.assertEqual(roofline.room({**PLAIN, "registers": 16}, 256, 0, H200), 8)  # 2048 threads
        self.assertEqual(roofline.room({**PLAIN, "registers": 16}, 256, 0, roofline.GPUS[2]), 6)  # 1536
        self.assertEqual(roofline.room(PLAIN, 256, 97 * 1024, H200), 2)  # 228 / (2 + 97 + 1) KB
        self.assertEqual(roofline.room({**PLAIN, "registers": 16}, 32, 0, H200), 32)


class Launches(unittest.TestCase):
    def test_issue(self):
        # 1056 blocks = 2 waves of 132 x 4. 4 pieces of 100 instructions a thread and 600 / 3 once; 4 x 8 warps beside each other on 4
        # schedulers: 32 x 600 / 4 / 0.75 = 6400 cycles of 1 / 1900 us, twice.
        us, uncounted = roofline.launch_us(LAUNCH, PLAIN, shape(), H200, False)
        self.assertAlmostEqual(us, 2 * 6400 / 1900, places=3)
        self.assertFalse(uncounted)

    def test_memory(self):
        # 4 loads of 16 bytes a thread: with one in flight 4 x 0.8 us, in each of 2 waves.
        us, _ = roofline.launch_us(LAUNCH, {**PLAIN, "loads_in_flight": 1, "plain_path": 1, "instructions_total": 3}, shape(), H200, False)
        self.assertAlmostEqual(us, 6.4)
        # Of 2 bytes each: 32 loads, 4 in flight.
        us, _ = roofline.launch_us(LAUNCH, {**PLAIN, "loads_in_flight": 0, "plain_path": 1, "instructions_total": 3}, shape(), H200, False)
        self.assertAlmostEqual(us, 2 * 8 * 0.8)
        # All at a time, past the registers.
        past = {**PLAIN, "loads_in_flight": 0, "plain_path": 1, "instructions_total": 3, "async_copies": 2}
        us, _ = roofline.launch_us(LAUNCH, past, shape(), H200, False)
        self.assertAlmostEqual(us, 2 * 0.8)

    def test_a_warp_alone(self):
        # One block of one warp: 1000 pieces of 100 instructions for 32 threads and 200 once, 2.5 cycles each.
        launch = {**LAUNCH, "grid": [1, 1, 1], "threads": 32}
        us, _ = roofline.launch_us(launch, PLAIN, shape(pieces=32000, reads=0), H200, False)
        self.assertAlmostEqual(us, 100_200 * 2.5 / 1900, places=3)

    def test_products(self):
        # 10 blocks of 128 threads, 1280 x 3800 multiply-adds of 1.5 instructions: 5700 a thread, 2.5 cycles each, on an SM with nobody beside.
        launch = {**LAUNCH, "grid": [10, 1, 1], "threads": 128}
        us, uncounted = roofline.launch_us(launch, {**PLAIN, "plain_path": None}, shape(pieces=0, fmas=1280 * 3800, reads=0), H200, False)
        self.assertAlmostEqual(us, 5700 * 2.5 / 1900, places=3)
        self.assertFalse(uncounted)

    def test_loops_that_are_not_counted(self):
        us, uncounted = roofline.launch_us(LAUNCH, {**PLAIN, "plain_path": None}, shape(reads=0), H200, False)
        self.assertTrue(uncounted)
        self.assertAlmostEqual(us, 2 * 32 * 200 / 4 / 0.75 / 1900, places=3)  # a third of the code once
        _, uncounted = roofline.launch_us(LAUNCH, {**PLAIN, "atomics": ["ATOMS.CAS"]}, shape(reads=0), H200, False)
        self.assertTrue(uncounted)
        _, uncounted = roofline.launch_us(LAUNCH, {**PLAIN, "plain_path": None}, shape(reads=0), H200, True)  # small: there is one round
        self.assertFalse(uncounted)


class Shapes(unittest.TestCase):
    def test_bytes_bound_a_shape_and_each_launch_costs(self):
        # 432 MB at 0.9 x 4.8 TB/s are 100 us.
        large = shape(reads=216_000_000, writes=216_000_000, pieces=1)
        prediction = roofline.predict([LAUNCH], {"draw<1>": {**PLAIN, "loads_in_flight": 1000}}, large, H200)
        self.assertAlmostEqual(prediction.us, 1.5 + 100)
        self.assertAlmostEqual(roofline.copy_us(large, H200), 101.5)
        twice = roofline.predict([LAUNCH, LAUNCH], {"draw<1>": {**PLAIN, "loads_in_flight": 1000}}, large, H200)
        self.assertAlmostEqual(twice.us, 3 + 100)

    def test_launches_of_one_kernel_share_the_work(self):
        # Half of the blocks in each: a wave each of 4 pieces a thread, as long together as in one launch, and a launch more.
        half = {**LAUNCH, "grid": [528, 1, 1]}
        one = roofline.predict([LAUNCH], {"draw<1>": PLAIN}, shape(), H200)
        two = roofline.predict([half, half], {"draw<1>": PLAIN}, shape(), H200)
        self.assertAlmostEqual(one.us, 1.5 + 2 * 6400 / 1900)
        self.assertAlmostEqual(two.us, 3 + 2 * 6400 / 1900)

    def test_a_name_of_two_sources(self):
        kernels = {"add<1>": {"of": "attend"}, "reduce: add<1>": {"of": "reduce"}}
        self.assertEqual(roofline.figures_of(kernels, "reduce", "add<1>")["of"], "reduce")
        self.assertEqual(roofline.figures_of(kernels, "attend", "add<1>")["of"], "attend")
        self.assertIsNone(roofline.figures_of(kernels, "attend", "add<2>"))

    def test_the_least_bytes(self):
        least = {name: roofline.SHAPES[name].reads + roofline.SHAPES[name].writes for name in roofline.SHAPES}
        self.assertEqual(least["overlay 4K"], 49_766_400)
        self.assertEqual(least["reduce LLaVA 32x640x640, mean"], 26_214_400 + 3_276_800)
        self.assertEqual(least["one row LLaVA 32/32x640x128"], 5_242_880 + 8192 + 5120)

    def test_what_is_missing_is_said(self):
        lines = roofline.table({"132": {"overlay 4K": [LAUNCH]}}, {})
        self.assertTrue(any(line.startswith("| overlay 4K | 1 | 49.8 | not counted | not counted | not counted |") for line in lines), lines)
        self.assertIn("draw<1>", lines[-1])
        self.assertIn("live: not counted", "\n".join(lines))


class Program(unittest.TestCase):
    @unittest.skipUnless(len(sys.argv) > 1, "no gaze_launch_shapes given")
    def test_every_shape_is_started(self):
        written = json.loads(subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout)
        self.assertEqual(set(written), {str(gpu.multiprocessors) for gpu in roofline.GPUS})
        kernels = {launch["kernel"]: PLAIN for shapes in written.values() for launches in shapes.values() for launch in launches}
        for shapes in written.values():
            self.assertEqual(list(shapes), list(roofline.SHAPES))
            self.assertTrue(all(shapes.values()))
        self.assertNotIn("not counted", "\n".join(roofline.table(written, kernels)))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
