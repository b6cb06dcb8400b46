"""carbon_route.py: where carbon's own routers send names, read from standard input.

The first line is a JSON list of objects, each the [relay] section of a carbon.conf (RELAY_METHOD,
DESTINATIONS, …); each line behind it is a name. Writes, for each name in turn, a line with a tab between the
answers of the relays. An answer is destinations in order, as carbon.conf has them, joined by commas.

Settings are read and destinations added as carbon's own start does it (carbon.service). A carbon that normalizes
tags (TAG_RELAY_NORMALIZED) does so before it asks its router (carbon.client).
"""

import json
import sys
import tempfile

from carbon.conf import Settings
from carbon.routers import DatapointRouter
from carbon.util import TaggedSeries, parseDestinations


def read_settings(section):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write("[relay]\n")
        for key, value in section.items():
            conf.write("%s = %s\n" % (key, value))
        conf.flush()
        settings = Settings()
        settings.readFrom(conf.name, "relay")
        return settings


class Relay:
    def __init__(self, section):
        settings = read_settings(section)
        self.normalize = settings.TAG_RELAY_NORMALIZED
        self.router = DatapointRouter.plugins[settings.RELAY_METHOD](settings)
        for destination in parseDestinations(settings.DESTINATIONS):
            self.router.addDestination(destination)

    def answer(self, name):
        if self.normalize:
            try:
                name = TaggedSeries.parse(name).path
            except Exception:
                pass  # carbon says so in its log, and goes on with the name
        return ",".join(text(destination) for destination in self.router.getDestinations(name))


def text(destination):
    host, port, instance = destination
    return "%s:%d" % (host, port) if instance is None else "%s:%d:%s" % (host, port, instance)


lines = sys.stdin.buffer.read().decode("utf-8").split("\n")
relays = [Relay(section) for section in json.loads(lines[0])]
out = ["\t".join(relay.answer(name) for relay in relays) for name in lines[1:]]
sys.stdout.buffer.write("".join(line + "\n" for line in out).encode("utf-8"))
