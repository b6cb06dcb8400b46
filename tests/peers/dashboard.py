"""Reads a Grafana dashboard into the types that Grafana's own schemas were made into, and writes it out again:
what they do not know, or know otherwise, is told. Then its units are looked for among Grafana's.

usage: dashboard.py FILE; prints one fault a line
"""

import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard, units

# Of the Prometheus data source; the schema leaves open what is of one data source only.
OPEN = {"titleFormat"}


def faults(path, given, kept):
    """What of `given` is not in `kept`; that one may have more, which are defaults."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in OPEN:
                continue
            if key not in kept:
                yield f"{path}.{key}: unknown"
            else:
                yield from faults(f"{path}.{key}", value, kept[key])
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (one, other) in enumerate(zip(given, kept)):
            yield from faults(f"{path}[{number}]", one, other)
    elif given != kept:
        yield f"{path}: {given!r} is read as {kept!r}"


def found(value, key):
    """All values of `key`, at any depth."""
    if isinstance(value, dict):
        yield from (value[key],) if isinstance(value.get(key), str) else ()
        for inner in value.values():
            yield from found(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from found(inner, key)


register_default_plugins()
with open(sys.argv[1], encoding="utf-8") as file:
    given = json.load(file)
kept = json.loads(JSONEncoder().encode(dashboard.Dashboard.from_json(given)))
for fault in faults("", given, kept):
    print(fault)
known = {value for name, value in vars(units).items() if not name.startswith("_")}
for unit in sorted(set(found(given, "unit")) - known):
    print(f"unit {unit}: unknown")
