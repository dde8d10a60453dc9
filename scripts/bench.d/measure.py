"""Measures for scripts/bench: drives sipp at rising rates and reads what it cost. Only the standard library.

Everything it needs is running already; it starts sipp and tcpdump, and ends both.
"""

import argparse
import base64
import csv
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import time
import urllib.request

INVITE = 0x494E5649  # "INVI", the first bytes of a SIP request behind the 8 bytes of UDP
NATIVE, DRIVEN = "native Dial()", "divert"
DIALLED = {NATIVE: "7000", DRIVEN: "8000"}
HOLD_MS = 1_000
MAX_FAILED = 0.01
MAX_PDD95_MS = 100
TICK = os.sysconf("SC_CLK_TCK")


def say(text):
    print(f"[{time.monotonic() - BEGUN:4.0f}s] {text}", file=sys.stderr, flush=True)


# ---- Reading


def cpu_ms(pid):
    # The name in parentheses may hold spaces.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000 / TICK


def rss_mb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def fetch(url, password=None):
    request = urllib.request.Request(url)
    if password:
        user = base64.b64encode(f"divert:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {user}")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return answer.read().decode()


def counters(args):
    """divert's own counters, summed over all labels but kept by the first one."""
    found = {}
    for line in fetch(f"http://127.0.0.1:{args.api_port}/metrics").splitlines():
        if match := re.match(r'(\w+)(?:\{(?:op|type|reason)="([^"]*)"[^}]*\})? ([0-9.e+-]+)$', line):
            key = (match[1], match[2] or "")
            found[key] = found.get(key, 0) + float(match[3])
    return found


def grown(before, after, name):
    return {
        label: value - before.get((key, label), 0)
        for (key, label), value in after.items()
        if key == name and value > before.get((key, label), 0)
    }


def live(args):
    """What Asterisk has: channels, bridges."""
    base = f"http://127.0.0.1:{args.http_port}/ari"
    return [len(json.loads(fetch(f"{base}/{what}", args.password))) for what in ("channels", "bridges")]


def quiet(args, patience):
    """Waits until Asterisk has no channel left; gives the number of those that stay."""
    until = time.monotonic() + patience
    while True:
        try:
            left = live(args)[0]
        except OSError:
            left = -1
        if left == 0 or time.monotonic() > until:
            return left
        time.sleep(0.25)


def capture(path, args):
    """The times of each caller's first INVITE into Asterisk and out of it, in seconds."""
    data = path.read_bytes()
    into, out = {}, {}
    unit = {0xA1B2C3D4: 1e-6, 0xA1B23C4D: 1e-9}[struct.unpack_from("<I", data)[0]]
    at = 24
    while at + 16 <= len(data):
        sec, fraction, size, _ = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16 : at + 16 + size]
        at += 16 + size
        ip = frame[14:]
        udp = ip[(ip[0] & 15) * 4 :]
        caller = re.search(rb"\nFrom:[^\n]*sip:\+?1555(\d+)@", udp)
        if caller:
            seen = into if struct.unpack_from(">H", udp, 2)[0] == args.sip_port else out
            seen.setdefault(int(caller[1]), sec + fraction * unit)
    return into, out


def percentile(values, part):
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


# ---- One step


class Step:
    """One way at one rate: what was asked, what came of it, what it cost."""

    def holds(self):
        return self.failed < MAX_FAILED and self.pdd95 < MAX_PDD95_MS


def run_step(args, way, rate, seconds):
    total = max(1, round(rate * seconds))
    name = f"{way[0]}-{rate}"
    pcap, stats = args.work / f"{name}.pcap", args.work / f"{name}.csv"
    log = (args.work / f"{name}.log").open("w")
    watched = f"udp[8:4] = {INVITE} and (dst port {args.sip_port} or dst port {args.uas_port})"
    with running(
        ["tcpdump", "-i", "lo", "-n", "-U", "-s", "700", "-B", "16384", "-w", str(pcap), watched],
        stderr=subprocess.PIPE, text=True,
    ) as dump:
        for told in dump.stderr:
            if "listening on" in told:
                break
        asterisk, divert, before = cpu_ms(args.asterisk), cpu_ms(args.divert), counters(args)
        sipp = [
            "sipp", f"127.0.0.1:{args.sip_port}", "-sf", str(args.scenarios / "uac.xml"), "-s", DIALLED[way],
            "-i", "127.0.0.1", "-p", str(args.uac_port), "-r", str(rate), "-m", str(total), "-l", str(rate * 40),
            "-d", str(HOLD_MS), "-nostdin", "-trace_stat", "-stf", str(stats), "-fd", "1",
            "-timeout", f"{seconds + 45}s",
        ]  # fmt: skip
        with running(sipp, stdout=log, stderr=subprocess.STDOUT, cwd=args.work) as caller:
            caller.wait(seconds + 60)
        left = quiet(args, 40)
        step = Step()
        step.asterisk = cpu_ms(args.asterisk) - asterisk
        step.divert = cpu_ms(args.divert) - divert
        after = counters(args)
        dump.send_signal(signal.SIGINT)
        dump.communicate(timeout=10)

    with stats.open() as file:
        row = [row for row in csv.DictReader(file, delimiter=";") if row.get("TotalCallCreated")][-1]
    into, out = capture(pcap, args)
    times = sorted(into.values())
    pdd = sorted((out[caller] - into[caller]) * 1_000 for caller in out if caller in into)
    sending = (times[-1] - times[0]) * total / max(1, len(times) - 1) if len(times) > 1 else seconds
    step.way, step.rate, step.total = way, rate, total
    answered, refused, done = (int(float(row[f"GenericCounter{n}(C)"])) for n in (1, 2, 3))
    step.done, step.refused, step.harmed = done, refused, answered - done
    step.failed = (total - done) / total
    step.offered, step.completed = total / sending, done / sending
    step.pdd50, step.pdd95, step.pdd99 = (percentile(pdd, part) for part in (0.50, 0.95, 0.99))
    step.requests = grown(before, after, "divert_ari_requests_total")
    step.events = grown(before, after, "divert_ari_events_total")
    step.shed = sum(grown(before, after, "divert_calls_shed_total").values())
    step.rss, step.left = rss_mb(args.divert), left
    pcap.unlink()
    say(row_of(step))
    return step


class running:
    """A child that never outlives its block."""

    def __init__(self, command, **options):
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)

    def __enter__(self):
        return self.child

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


# ---- Showing

HEAD = (
    "  rate  offered/s  completed/s  failed%  refused  harmed   PDD p50    p95    p99 ms"
    "  Asterisk  divert ms/call  requests  events/call  RSS MB"
)


def per_call(step, what):
    return sum(what.values()) / max(1, step.total)


def row_of(step):
    cost = max(1, step.done)
    text = (
        f"{step.rate:6} {step.offered:10.1f} {step.completed:12.1f} {step.failed * 100:8.2f} {step.refused:8}"
        f" {step.harmed:7} {step.pdd50:9.2f} {step.pdd95:6.1f} {step.pdd99:6.1f}    {step.asterisk / cost:9.2f}"
    )
    if step.way == DRIVEN:
        text += (
            f" {step.divert / cost:15.2f} {per_call(step, step.requests):9.2f} {per_call(step, step.events):12.2f}"
            f" {step.rss:7.1f}"
        )
    return text + ("" if step.left == 0 else f"  ({step.left} channels stayed)")


def table(way, steps, over):
    print(f"\n{way}\n{HEAD}")
    for step in steps:
        print(row_of(step) + ("" if step.holds() else "  over the limit"))
    if over:
        print(row_of(over) + f"  1.5 x max" + (f", divert itself sent back {over.shed:.0f}" if way == DRIVEN else ""))


def breakdown(step):
    print(f"\nARI per call of divert at {step.rate}/s")
    for name, what in (("requests", step.requests), ("events", step.events)):
        parts = sorted(what.items(), key=lambda part: -part[1])
        print(f"  {name:9}" + ", ".join(f"{kind} {n / step.total:.2f}" for kind, n in parts if n / step.total >= 0.005))


def ratio(label, ours, theirs, goal):
    value = ours / theirs if theirs else float("nan")
    print(f"  {label:44} {ours:9.2f} / {theirs:9.2f} = {value:6.2f}   goal {goal}")


def ratios(best, over, reference):
    native, driven = best[NATIVE], best[DRIVEN]
    print("\nRatios of this run")
    if not (native and driven):
        print("  none: a way failed at its lowest rate")
        return
    ratio("max calls/s, divert / native", driven.rate, native.rate, ">= 0.75")
    base, ours = reference[NATIVE], reference[DRIVEN]
    if base and ours:
        at = f"at {ours.rate}/s"
        ratio(f"PDD p50 {at}, divert / native", ours.pdd50, base.pdd50, "<= 1.3")
        ratio(f"PDD p99 {at}, divert / native", ours.pdd99, base.pdd99, "<= 1.3")
        ratio(
            f"Asterisk CPU ms/call {at}, divert / native",
            ours.asterisk / max(1, ours.done), base.asterisk / max(1, base.done), "<= 1.25",
        )  # fmt: skip
        print(f"  {'divert CPU ms/call ' + at:44} {ours.divert / max(1, ours.done):9.2f}{'':22}   goal <= 0.4")
    for way, step in over.items():
        if step:
            ratio(f"completed/s at 1.5 x max / max, {way}", step.completed, best[way].completed, ">= 0.9")


# ---- The run


def measure(args, way):
    steps = []
    for rate in args.rates:
        steps.append(run_step(args, way, rate, args.seconds))
        # One bad step may be somebody else's work on this machine; two in a row are the limit.
        if len(steps) > 1 and not (steps[-1].holds() or steps[-2].holds()):
            break
    best = next((step for step in reversed(steps) if step.holds()), None)
    over = None
    if best and args.overload:
        over = run_step(args, way, best.rate * 3 // 2, args.seconds)
    return steps, best, over


def leaks(args):
    """Bridges are given up some seconds after the last call; nothing may stay."""
    until = time.monotonic() + 30
    while True:
        channels, bridges = live(args)
        calls = sum(value for (name, _), value in counters(args).items() if name == "divert_calls_live")
        if (channels, bridges, calls) == (0, 0, 0) or time.monotonic() > until:
            break
        time.sleep(0.5)
    print(f"\nLeft behind: {channels} channels, {bridges} bridges, {calls:.0f} calls of divert")
    return (channels, bridges, calls) == (0, 0, 0)


def main():
    parser = argparse.ArgumentParser()
    for name in ("sip-port", "uas-port", "uac-port", "http-port", "api-port", "asterisk", "divert", "seconds"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("work", "scenarios"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--rates", type=lambda text: [int(rate) for rate in text.split()], required=True)
    parser.add_argument("--ways", default="both", choices=["both", "native", "divert"])
    parser.add_argument("--overload", action="store_true")
    args = parser.parse_args()
    # So that the blocks around the children are left in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ways = {"both": [NATIVE, DRIVEN], "native": [NATIVE], "divert": [DRIVEN]}[args.ways]

    uas = [
        "sipp", "-sf", str(args.scenarios / "uas.xml"), "-i", "127.0.0.1", "-p", str(args.uas_port), "-nostdin",
        "-l", "100000",
    ]  # fmt: skip
    results = {}
    with running(uas, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=args.work) as callee:
        for way in ways:
            say(f"{way}\n{HEAD}")
            run_step(args, way, 10, 2)  # to warm up
            results[way] = measure(args, way)
        if callee.poll() is not None:
            sys.exit("error: the called sipp has ended; the figures are worth nothing")
    for way, (steps, _, over) in results.items():
        table(way, steps, over)
    # PDD and CPU are compared at 200/s, or at the highest lower rate that both ways held.
    held = [{step.rate: step for step in steps if step.holds()} for steps, _, _ in results.values()]
    common = max((rate for rate in held[0] if rate <= 200 and all(rate in way for way in held)), default=None)
    reference = {way: found.get(common) for way, found in zip(results, held)}
    if reference.get(DRIVEN):
        breakdown(reference[DRIVEN])
    is_clean = leaks(args)
    if len(results) == 2:
        ratios({w: r[1] for w, r in results.items()}, {w: r[2] for w, r in results.items()}, reference)
    return 0 if is_clean else 1


BEGUN = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
