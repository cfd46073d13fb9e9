"""Reads an exposition from a URL as OpenMetrics and as Prometheus's text format, with prometheus-client's parsers (in
PYTHONPATH), and prints as JSON how many samples and exemplars each family has.

Usage: openmetrics.py URL
"""

import json
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text


def fetch(accept):
    request = urllib.request.Request(sys.argv[1], headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.headers["Content-Type"], response.read().decode()


def families(found):
    return {
        family.name: {
            "type": family.type,
            "samples": len(family.samples),
            "exemplars": sum(1 for sample in family.samples if sample.exemplar),
        }
        for family in found
    }


kind, text = fetch("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
answer = {"openmetrics": {"type": kind, "families": families(parse_openmetrics(text))}}
kind, text = fetch("text/plain")
answer["text"] = {"type": kind, "families": families(parse_text(text))}
print(json.dumps(answer))
