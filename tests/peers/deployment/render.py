"""Lints a Helm chart and renders it: argv is its folder, the values and the version of Kubernetes."""

import json
import sys

from helm_python.chart import Chart, lint

folder, values, version = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
found = lint(folder, values, strict=True, kube_version=version)
if found["messages"] or found["errors"]:
    sys.exit(json.dumps(found))
with Chart.load(folder) as chart:
    rendered = chart.render(values, name="demo", namespace="team")
print(json.dumps({path.rsplit("/", 1)[-1]: text for path, text in rendered.items()}))
