#!/usr/bin/env python3
"""What fimd does when the GPU's memory is taken by others, and when it is killed while it works.

    faults.py --fimd build/fimd

Another process takes nearly all memory of the GPU before fimd starts, while it runs, and while it
has given its own back; then fimd is killed in the middle of an answer. Each time: a clear error that
says what to do or the same text as before, no word about the buffer that is not the client's, and
once the memory is free again, the same text. Needs the driver's library, and nothing else but
Python. Exit status: 0, or 1 and a line for each thing that was otherwise."""
import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time

LEAVE = 64 << 20  # bytes that the hog leaves
SOURCE = 'int sum(const int *a, int n) {\n  int total = 0;\n  for (int i = 0; i < n; i++) {\n    '
URI = "file:///w/sum.c"
failed = 0


def check(ok, what, detail=""):
    global failed
    failed += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {what}" + (f": {detail}" if detail and not ok else ""), flush=True)


# ---- the GPU's memory ---------------------------------------------------------------------------

class Gpu:
    def __init__(self):
        self.cuda = ctypes.CDLL("libcuda.so.1")
        context = ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)

    def call(self, name, *args):
        status = getattr(self.cuda, name)(*args)
        if status != 0:
            raise RuntimeError(f"{name}: {status}")

    def free(self):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def take(self, size):
        at = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(size))


def hog():
    """Takes what there is but LEAVE, tells, and holds it until its input ends."""
    gpu = Gpu()
    size = 1 << 30
    while size >= 1 << 20:
        try:
            if gpu.free() < LEAVE + size:
                raise RuntimeError
            gpu.take(size)
        except RuntimeError:
            size //= 2
    print(gpu.free(), flush=True)
    sys.stdin.read()


class Hog:
    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, __file__, "--hog"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.left = int(self.process.stdout.readline() or -1)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


# ---- fimd ---------------------------------------------------------------------------------------

class Daemon:
    def __init__(self, args, settings=None):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([args.fimd, "lsp", "--backend", args.backend],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.last = 0
        self.shown = []  # what the user was told, in the log too
        self.windows = []  # of it, what came up before the user's eyes
        self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {},
                                "initializationOptions": {"fimd": settings or {}}})
        self.tell("initialized", {})

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self):
        length = 0
        while (line := self.process.stdout.readline().strip()):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if length == 0:
            raise EOFError("fimd is gone")
        return json.loads(self.process.stdout.read(length))

    def tell(self, method, params):
        self.send({"method": method, "params": params})

    def begin(self, method, params):
        self.last += 1
        self.send({"id": self.last, "method": method, "params": params})
        return self.last

    def answer(self, wanted):
        while True:
            m = self.receive()
            if m.get("method") in ("window/showMessage", "window/logMessage"):
                self.shown.append(m["params"]["message"])
                if m["method"] == "window/showMessage":
                    self.windows.append(m["params"]["message"])
            elif "method" in m and "id" in m:
                self.send({"id": m["id"], "result": None})
            elif m.get("id") == wanted:
                return m

    def ask(self, method, params):
        return self.answer(self.begin(method, params))

    def open(self):
        self.tell("textDocument/didOpen", {"textDocument": {
            "uri": URI, "languageId": "c", "version": 1, "text": SOURCE}})
        self.tail = ""

    def type(self, text):
        lines = (SOURCE + self.tail).split("\n")
        at = {"line": len(lines) - 1, "character": len(lines[-1])}
        self.tell("textDocument/didChange", {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [
            {"range": {"start": at, "end": at}, "text": text}]})
        self.tail += text

    def complete(self):
        lines = (SOURCE + self.tail).split("\n")
        return self.ask("textDocument/inlineCompletion", {
            "textDocument": {"uri": URI}, "context": {"triggerKind": 1},
            "position": {"line": len(lines) - 1, "character": len(lines[-1])}})

    def text(self):
        items = self.complete().get("result", {}).get("items", [])
        return items[0]["insertText"] if items else None

    def end(self):
        self.ask("shutdown", None)
        self.tell("exit", None)
        return self.process.wait()

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")


# ---- what happens -------------------------------------------------------------------------------

def too_little_at_the_start(args):
    with Hog() as h, tempfile.TemporaryDirectory() as folder:
        check(0 <= h.left < 2 * LEAVE, "the hog has left little", str(h.left))
        path = os.path.join(folder, "sum.c")
        with open(path, "w") as f:
            f.write(SOURCE)
        done = subprocess.run([args.fimd, "complete", path, "4:5", "--backend", args.backend],
                              capture_output=True, text=True)
        check(done.returncode != 0, "complete is refused", done.stdout)
        check("--backend cpu" in done.stderr, "and says what would work", done.stderr)
        print("     " + done.stderr.strip()[:300])
        d = Daemon(args)
        d.open()
        m = d.complete()
        check("error" in m or not m["result"]["items"], "the daemon shows nothing", str(m)[:200])
        check(sum("--backend cpu" in s for s in d.windows) == 1, "and has told why, once", str(d.shown)[:600])
        check(d.end() == 0, "and ends when it is told to")


def taken_while_it_runs(args, want):
    d = Daemon(args)
    d.open()
    check(d.text() == want, "before the hog, the text")
    with Hog():
        for i in range(8):
            d.type("x")
            m = d.complete()
            check("result" in m or m["error"]["message"] != "",
                  f"with the hog, request {i + 1} has its answer", str(m)[:200])
    d.type("\n    ")
    m = d.complete()
    check("result" in m, "after the hog, a result", str(m)[:300])
    check(d.end() == 0, "and a quiet end")


def taken_while_it_is_unloaded(args, want):
    d = Daemon(args, {"unloadAfter": 0.02})
    d.open()
    check(d.text() == want, "before it is idle, the text")
    d.tell("textDocument/didChange", {"textDocument": {"uri": URI, "version": 2},
                                      "contentChanges": [{"text": SOURCE + "/* */"}]})
    d.tail = "/* */"
    for _ in range(100):
        time.sleep(0.1)
        d.ask("fimd/status", {})
        if any("given back" in s for s in d.shown):
            break
    check(any("given back" in s for s in d.shown), "idle, it gives its memory back", str(d.shown))
    with Hog():
        m = d.complete()
        check("error" in m, "with the hog, an error", str(m)[:300])
        check(any("does not fit" in s for s in d.shown + [json.dumps(m)]), "that says why", str(d.shown)[-600:])
    d.tell("textDocument/didChange", {"textDocument": {"uri": URI, "version": 3},
                                      "contentChanges": [{"text": SOURCE}]})
    d.tail = ""
    check(d.text() == want, "after the hog, the text of before", str(d.shown)[-600:])
    check(d.end() == 0, "and a quiet end")


def killed_while_it_works(args, want):
    gpu = Gpu()
    before = gpu.free()
    d = Daemon(args)
    d.open()
    check(d.text() == want, "before the kill, the text")
    d.type("tot")
    d.begin("textDocument/inlineCompletion", {
        "textDocument": {"uri": URI}, "context": {"triggerKind": 1},
        "position": {"line": 3, "character": 7}})
    d.process.kill()
    d.process.wait()
    for _ in range(100):
        if before - gpu.free() < LEAVE:
            break
        time.sleep(0.1)
    check(before - gpu.free() < LEAVE, "killed, the GPU's memory is free", f"{before} {gpu.free()}")
    d = Daemon(args)
    d.open()
    check(d.text() == want, "a new daemon has the same text")
    check(d.end() == 0, "and a quiet end")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fimd")
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--hog", action="store_true", help="only take the GPU's memory")
    args = parser.parse_args()
    if args.hog:
        hog()
        return 0
    d = Daemon(args)
    d.open()
    want = d.text()
    d.end()
    check(bool(want), "there is a text to compare with", d.stderr())
    killed_while_it_works(args, want)
    too_little_at_the_start(args)
    taken_while_it_is_unloaded(args, want)
    taken_while_it_runs(args, want)
    print("all as it should be" if failed == 0 else f"{failed} FAILED")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
