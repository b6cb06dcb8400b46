"""collectd plugin: writes each value list and notification as one line of JSON.

Names that are not UTF-8 become {"bytes": hex}; NaN and infinities become strings.
"""

import json
import math
import threading

import collectd

out = None
lock = threading.Lock()


def configure(config):
    global out
    for child in config.children:
        if child.key == "File":
            out = open(child.values[0], "a", buffering=1)


def name(text):
    return {"bytes": text.hex()} if isinstance(text, bytes) else text


def number(value):
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def identity(item):
    parts = ("host", "plugin", "plugin_instance", "type", "type_instance")
    return {part: name(getattr(item, part)) for part in parts}


def write(record):
    with lock:
        out.write(json.dumps(record) + "\n")


def values(item):
    write({"kind": "values", **identity(item), "time": item.time, "interval": item.interval,
           "values": [number(value) for value in item.values]})


def notification(item):
    write({"kind": "notification", **identity(item), "time": item.time,
           "severity": item.severity, "message": name(item.message)})


collectd.register_config(configure)
collectd.register_write(values)
collectd.register_notification(notification)
