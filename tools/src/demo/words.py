"""Words of the licence texts on this system: files, threads, subprocesses and a socket pair."""
import collections, glob, re, socket, subprocess, threading, zlib

paths = sorted(glob.glob("/usr/share/common-licenses/*"))
counts, lock = collections.Counter(), threading.Lock()

def count(part):
    for path in part:
        words = re.findall(r"[a-z]{5,}", open(path, encoding="utf-8").read().lower())
        with lock:
            counts.update(words)

threads = [threading.Thread(target=count, args=(paths[i::4],)) for i in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(paths), "texts,", sum(counts.values()), "words:", ", ".join(f"{w} {n}" for w, n in counts.most_common(4)))
a, b = socket.socketpair()
a.sendall(zlib.compress(" ".join(sorted(counts)).encode())); a.close()
print("through a socket:", len(zlib.decompress(b.makefile("rb").read())), "bytes")
print("a child says:", subprocess.run(["wc", "-c", *paths[:1]], capture_output=True, text=True).stdout.split()[0])
