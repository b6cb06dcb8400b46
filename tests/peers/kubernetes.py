"""Checks manifests against the schemas of Kubernetes, and prints them as one JSON array.

usage: kubernetes.py FILE VERSION...; fails at the first that is not valid, or has a field that is not known
"""

import json
import sys

import kubernetes_validate
import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    documents = [document for document in yaml.safe_load_all(file) if document]
for document in documents:
    for version in sys.argv[2:]:
        kubernetes_validate.validate(document, version, strict=True)
print(json.dumps(documents))
