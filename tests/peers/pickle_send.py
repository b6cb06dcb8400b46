"""pickle_send.py PORT: sends the lines `NAME VALUE TIME` of standard input to a pickle port."""

import pickle
import socket
import struct
import sys

FRAME = 500

points = []
for line in sys.stdin:
    name, value, time = line.split()
    points.append((name, (int(time), float(value))))

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30) as connection:
    for start in range(0, len(points), FRAME):
        payload = pickle.dumps(points[start:start + FRAME], protocol=2)
        connection.sendall(struct.pack("!L", len(payload)) + payload)
