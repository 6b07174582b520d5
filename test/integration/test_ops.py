"""The files of ops/ for Prometheus and Grafana: that they can be loaded, and name what there is.
test/ops shows with a real Prometheus that each alert fires by its fault.
"""
import json
import re
import unittest

from house import ROOT
from watched import documented, promtool

ALERTS = ROOT / 'ops' / 'alerts.yml'
BOARD = ROOT / 'ops' / 'grafana.json'
METRIC = re.compile(r'\bfatwal_\w+')


def known_metrics():
    """With the series of histograms."""
    names = set()
    for heading in ('### Of fatwald', '### Of the accounts', '### Of fatwal-channel'):
        for name, (kind, _) in documented(heading).items():
            parts = ('_bucket', '_sum', '_count') if kind == 'histogram' else ('',)
            names |= {name + part for part in parts}
    return names


def board_expressions():
    board = json.loads(BOARD.read_text())
    targets = [target for panel in board['panels'] for target in panel.get('targets', ())]
    targets += board['annotations']['list']
    return [target['expr'] for target in targets]


class Ops(unittest.TestCase):
    def test_promtool_takes_the_rules(self):
        status, said = promtool('check', 'rules', str(ALERTS))
        self.assertEqual(status, 0, said)
        rules = len(re.findall('alert: ', ALERTS.read_text()))
        self.assertIn(f'SUCCESS: {rules} rules found', said)

    def test_what_alerts_and_what_does_not(self):
        status, said = promtool('test', 'rules', str(ROOT / 'test' / 'alerts.yml'))
        self.assertEqual(status, 0, said)

    def test_each_alert_names_its_runbook(self):
        page = (ROOT / 'docs' / 'operations.md').read_text()
        rules = ALERTS.read_text().split('- alert: ')[1:]
        self.assertGreaterEqual(len(rules), 7)
        for rule in rules:
            name = rule.split('\n', 1)[0]
            self.assertIn(f'runbook: docs/operations.md#{name.lower()}\n', rule)
            self.assertIn(f'\n### {name}\n', page)

    def test_rules_and_board_use_metrics_that_there_are(self):
        known = known_metrics()
        self.assertEqual(set(METRIC.findall(ALERTS.read_text())) - known, set())
        for expression in board_expressions():
            used = set(METRIC.findall(expression))
            self.assertTrue(used, expression)
            self.assertEqual(used - known, set(), expression)

    def test_no_two_panels_of_the_board_lie_on_each_other(self):
        taken = set()
        for panel in json.loads(BOARD.read_text())['panels']:
            at = panel['gridPos']
            cells = {(at['x'] + x, at['y'] + y) for x in range(at['w']) for y in range(at['h'])}
            self.assertLessEqual(at['x'] + at['w'], 24, panel['title'])
            self.assertFalse(cells & taken, panel['title'])
            taken |= cells


if __name__ == '__main__':
    unittest.main()
