"""A name server that knows one name: test.example is 192.0.2.7 and 2001:db8::7."""
import socket
import struct
import sys

ANSWERS = {1: socket.inet_pton(socket.AF_INET, "192.0.2.7"), 28: socket.inet_pton(socket.AF_INET6, "2001:db8::7")}

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    query, client = server.recvfrom(512)
    name_end = query.index(b"\0", 12) + 1
    kind = struct.unpack("!H", query[name_end : name_end + 2])[0]
    known = query[12:name_end] == b"\4test\7example\0" and kind in ANSWERS
    head = query[:2] + struct.pack("!HHHHH", 0x8580 if known else 0x8583, 1, int(known), 0, 0)
    answer = query[12 : name_end + 4]
    if known:
        answer += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(ANSWERS[kind])) + ANSWERS[kind]
    server.sendto(head + answer, client)
