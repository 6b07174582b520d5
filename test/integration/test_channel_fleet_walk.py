"""A short random walk of a fleet (fleet_walk.py); test/fault/channels walks for hours.
Run by: scripts/with-postgres /usr/bin/python3 -m unittest discover -s test/integration"""
import unittest

import portal  # noqa: F401
from fleet_walk import Fleet


class FleetWalk(Fleet):
    def test_access_is_what_the_rows_say_whoever_moves_or_dies(self):
        self.begin(seed=1)
        self.quiet_point('start')
        self.round(12, faults=False)
        self.round(15, faults=True)
        self.round(15, faults=True)


del Fleet  # it is no test by itself

if __name__ == '__main__':
    unittest.main()
