"""Runs commands in turn (A B A B ...) and prints what each reported, medians and ratios.

    turns.py [options] 'NAME=COMMAND' ...

Every run is a process of its own that prints lines 'bench: key=value ...' (seconds and tokens of
its timed part, losses, peak_kib). This script adds the whole process's wall time, the highest
resident memory the kernel saw, and how busy the rest of the machine was meanwhile. It waits while
other programs use more than 0.3 of a core, and repeats a run that others disturbed;
LORASH_BENCH_NOISY=1 runs all the same and marks the figures. Needs Linux and Python 3.9, no more.
"""
import argparse
import datetime
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

LIMIT = 0.3   # cores that others may use before a run starts
DURING = 0.15  # and on average while it goes on
PATIENCE = 900  # seconds to wait for a quiet machine
TRIES = 10  # of a run that others disturbed
TICKS = os.sysconf("SC_CLK_TCK")
BUSY_LOOP = "while :; do :; done"


def chip():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        text = file.read()
    name = re.search(r"^model name\s*: (.*)", text, re.M)
    family = re.search(r"^cpu family\s*: (.*)", text, re.M)
    model = re.search(r"^model\s*: (.*)", text, re.M)
    flags = set(re.findall(r"\b(?:avx2|avx512f|avx512_bf16|avx512_vnni|amx_bf16)\b", text))
    parts = [name.group(1) if name else platform.machine()]
    if family and model:
        parts.append(f"family {family.group(1)} model {model.group(1)}")
    return " ".join(parts) + f" ({' '.join(sorted(flags)) or 'no avx2'}), {os.cpu_count()} cores"


def used_ticks():
    """Ticks all processors spent on anything but idling, stolen time included."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, soft, steal = map(int, file.readline().split()[1:9])
    return user + nice + system + irq + soft + steal


def others_now(seconds=1.0):
    ticks, start = used_ticks(), time.monotonic()
    time.sleep(seconds)
    return (used_ticks() - ticks) / TICKS / (time.monotonic() - start)


def wait_for_quiet(noisy):
    """Cores used by others; leaves with exit code 3 when they stay busy."""
    deadline = time.monotonic() + PATIENCE
    while (load := others_now(1.0 if noisy else 3.0)) > LIMIT and not noisy:
        if time.monotonic() > deadline:
            sys.exit(f"turns.py: other programs use {load:.2f} cores (limit {LIMIT}); hint: stop "
                     "them, or LORASH_BENCH_NOISY=1 for a run that is not meant to be quoted")
    return load


def parse(text):
    """The values of all 'bench:' lines."""
    found = {}
    for line in text.splitlines():
        if line.startswith("bench: "):
            found.update(part.split("=", 1) for part in line[7:].split())
    for key, value in found.items():
        if key in ("losses", "norms"):
            found[key] = [float(x) for x in value.split(",") if x]
        else:
            try:
                found[key] = float(value)
            except ValueError:
                pass
    return found


def process_ticks(pid):
    """Ticks a process has used, all threads; 0 once it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    except OSError:
        return 0


class Disturbed(Exception):
    """Other programs took part of the machine during a run."""


class Run:
    """One finished process and its figures. Disturbed is raised, soon after it happens, when others
    used the machine meanwhile; not in noisy mode."""

    def __init__(self, name, command, busy_cpu, timeout):
        self.name = name
        noisy = os.environ.get("LORASH_BENCH_NOISY") == "1"
        self.others = wait_for_quiet(noisy)
        busy = self.start_busy(busy_cpu)
        pids = [busy.pid] if busy else []
        try:
            err = self.execute(command, pids, noisy, timeout)
        finally:
            if busy:
                busy.kill()
                busy.wait()
        self.values = parse(self.out)
        if self.status:
            sys.stderr.write(self.out[-2000:] + err[-4000:])
            sys.exit(f"turns.py: {name} ended with status {self.status}: {command}")

    @staticmethod
    def start_busy(cpu):
        if cpu is None:
            return None
        pin = [] if cpu == "any" else ["taskset", "-c", cpu]
        return subprocess.Popen(pin + ["sh", "-c", BUSY_LOOP])

    def execute(self, command, pids, noisy, timeout):
        """Runs the command to its end; its error output."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            ticks, start = used_ticks(), time.monotonic()
            busy_ticks = sum(map(process_ticks, pids))
            child = subprocess.Popen(["sh", "-c", "exec " + command], stdout=out, stderr=err,
                                     stdin=subprocess.DEVNULL)
            own, last, ended = 0, start, 0
            while not ended:
                time.sleep(0.01)
                if (t := time.monotonic()) - last > 5:  # a look now and then costs nothing
                    last, own = t, process_ticks(child.pid)
                    busy_now = sum(map(process_ticks, pids)) - busy_ticks
                    others = (used_ticks() - ticks - own - busy_now) / TICKS / (t - start)
                    if t - start > timeout or (others > DURING and not noisy):
                        child.kill()
                        child.wait()
                        if t - start > timeout:
                            sys.exit(f"turns.py: {self.name} took more than {timeout:g} s")
                        raise Disturbed(f"others used {others:.2f} cores")
                ended, status, usage = os.wait4(child.pid, os.WNOHANG)
            self.wall = time.monotonic() - start
            child.returncode = self.status = os.waitstatus_to_exitcode(status)
            spent = used_ticks() - ticks - (sum(map(process_ticks, pids)) - busy_ticks)
            self.cpu = usage.ru_utime + usage.ru_stime
            self.kib = usage.ru_maxrss
            self.others = max(self.others, (spent / TICKS - self.cpu) / self.wall)
            out.seek(0)
            err.seek(0)
            self.out = out.read()
            if self.others > DURING and not noisy:
                raise Disturbed(f"others used {self.others:.2f} cores")
            return err.read()

    # --- figures, None where the program did not report them

    def rate(self):
        v = self.values
        return v["tokens"] / v["seconds"] if v.get("seconds") and "tokens" in v else None

    def step(self):
        v = self.values
        return v["seconds"] / v["steps"] if "seconds" in v and v.get("steps") else None

    def prefill(self):
        v = self.values
        return v["prompt_tokens"] / v["prompt_seconds"] if v.get("prompt_seconds") else None

    def peak(self):
        return max(self.kib, self.values.get("peak_kib", 0)) / 1024

    def figure(self, key):
        return {"rate": self.rate, "step": self.step, "prefill": self.prefill, "peak": self.peak,
                "wall": lambda: self.wall}[key]()


FIGURES = {"rate": ("tok/s", 1), "step": ("s/step", 3), "prefill": ("prompt tok/s", 1),
           "wall": ("s wall", 2), "peak": ("MiB peak", 0)}


def show_run(round_number, run, keys):
    parts = []
    for key in keys:
        value = run.figure(key)
        if value is not None:
            unit, digits = FIGURES[key]
            parts.append(f"{value:.{digits}f} {unit}")
    noise = f"  NOISY: others used {run.others:.2f} cores" if run.others > DURING else ""
    print(f"round {round_number}  {run.name:<24} {', '.join(parts)}{noise}", flush=True)
    for line in run.out.splitlines():
        if round_number == 1 and line.startswith("text: "):
            print("    " + line)


def undisturbed(name, command, busy, timeout):
    """The first run of the command that nobody disturbed."""
    for _ in range(TRIES):
        try:
            return Run(name, command, busy, timeout)
        except Disturbed as why:
            print(f"again    {name:<24} {why}", flush=True)
    sys.exit(f"turns.py: {name} was disturbed {TRIES} times; hint: an idle machine")


def spread(values, digits):
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f}-{max(values):.{digits}f})")


def show_medians(names, runs, keys):
    print(f"\nmedian (lowest-highest) of {len(runs[names[0]])} runs each")
    for name in names:
        parts = []
        for key in keys:
            values = [run.figure(key) for run in runs[name]]
            if None not in values:
                parts.append(f"{spread(values, FIGURES[key][1])} {FIGURES[key][0]}")
        print(f"  {name:<24} {', '.join(parts)}")


def show_ratio(spec, runs):
    """KEY:A/B[>=LIMIT or <=LIMIT]: round by round, so that a drifting machine does not matter.
    B 'best peer' is the fastest of those named 'peer ...'."""
    match = re.fullmatch(r"(\w+):([^/]+)/([^/<>]+?)(?:(>=|<=)([\d.]+))?", spec)
    key, a, b, sign, limit = match.groups()
    if b == "best peer":
        peers = [name for name in runs if name.startswith("peer ")]
        b = max(peers, key=lambda name: statistics.median(run.rate() for run in runs[name]))
    pairs = [(x.figure(key), y.figure(key)) for x, y in zip(runs[a], runs[b])]
    ratios = [x / y for x, y in pairs]
    verdict = ""
    if sign:
        middle, bound = statistics.median(ratios), float(limit)
        good = middle >= bound if sign == ">=" else middle <= bound
        verdict = f"  wanted {sign} {limit}: {'yes' if good else 'NO'}"
    print(f"ratio {FIGURES[key][0]}  {a} / {b} = {spread(ratios, 2)}{verdict}")


def show_losses(names, runs, count):
    """Losses of the first steps side by side, and the largest difference from the first column."""
    with_losses = [n for n in names if runs[n][0].values.get("losses")]
    if not with_losses:
        return
    first = {n: runs[n][0].values["losses"][:count] for n in with_losses}
    base = with_losses[0]
    print(f"\nlosses of the first {count} steps; relative difference from {base}")
    print("  step  " + "  ".join(f"{n:>24}" for n in with_losses))
    for i in range(min(map(len, first.values()))):
        row = [f"{first[n][i]:.6f} {abs(first[n][i] / first[base][i] - 1):8.1e}"
               for n in with_losses]
        print(f"  {i + 1:4d}  " + "  ".join(f"{text:>24}" for text in row))
    for n in with_losses[1:]:
        worst = max(abs(x / y - 1) for x, y in zip(first[n], first[base]))
        print(f"  {n}: worst {worst:.1e}")


def check_parity(spec, runs, count):
    """A~B<=LIMIT: the gate before any ratio is worth reading."""
    a, b, limit = re.fullmatch(r"([^~]+)~([^~<]+)<=([\d.e+-]+)", spec).groups()
    x, y = (runs[n][0].values["losses"][:count] for n in (a, b))
    worst = max(abs(p / q - 1) for p, q in zip(x, y))
    tokens = [int(runs[n][0].values["tokens"]) for n in (a, b)]
    trained = [int(runs[n][0].values.get("trained", 0)) for n in (a, b)]
    good = worst <= float(limit) and tokens[0] == tokens[1] and trained[0] == trained[1]
    print(f"parity {a} ~ {b}: worst loss difference {worst:.1e} of {len(x)} steps (wanted <= "
          f"{limit}), tokens {tokens[0]} and {tokens[1]}, trained weights {trained[0]} and "
          f"{trained[1]}: {'yes' if good else 'NO'}")
    return good


def first_round(a, runs):
    """Versions, losses, and the gate: ends the program when the sides do not do the same."""
    for name, done in runs.items():
        if versions := done[0].values.get("versions"):
            print(f"  {name}: {versions}")
    quiet = [name for name in runs if not name.endswith(" busy")]
    show_losses(quiet, runs, a.losses)
    if not all([check_parity(spec, runs, a.losses) for spec in a.parity]):
        sys.exit("turns.py: the sides do not do the same, so that no ratio would mean anything")
    print(flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--title", default="")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--timeout", type=float, default=1200, help="seconds one run may take")
    p.add_argument("--figures", default="rate,step,wall,peak")
    p.add_argument("--ratio", action="append", default=[], metavar="KEY:A/B>=LIMIT")
    p.add_argument("--parity", action="append", default=[], metavar="A~B<=LIMIT")
    p.add_argument("--losses", type=int, default=10, help="steps to compare")
    p.add_argument("--busy", metavar="CPU", help="run each command a second time, as 'NAME busy', "
                   "beside an endless loop pinned to this processor ('any': not pinned)")
    p.add_argument("commands", nargs="+", metavar="NAME=COMMAND")
    a = p.parse_args()
    commands = dict(c.split("=", 1) for c in a.commands)
    keys = a.figures.split(",")
    if a.title:
        print(f"# {a.title}")
    print(f"{datetime.datetime.now():%Y-%m-%d %H:%M}; {chip()}; "
          f"{os.environ.get('LORASH_BENCH_THREADS', os.cpu_count())} threads; Linux "
          f"{platform.release()}; others use {others_now():.2f} cores")
    for name, command in commands.items():
        print(f"  {name:<24} $ {command}")
    variants = [(n, c, None) for n, c in commands.items()]
    if a.busy:
        variants = [(n + suffix, c, cpu) for n, c in commands.items()
                    for suffix, cpu in (("", None), (" busy", a.busy))]
    runs = {name: [] for name, _, _ in variants}
    for number in range(1, a.rounds + 1):
        for name, command, busy in variants:
            run = undisturbed(name, command, busy, a.timeout)
            runs[name].append(run)
            show_run(number, run, keys)
        if number == 1:
            first_round(a, runs)
    names = list(runs)
    show_medians(names, runs, keys)
    for spec in a.ratio:
        show_ratio(spec, runs)
    noisy = sum(run.others > DURING for rs in runs.values() for run in rs)
    if noisy:
        print(f"{noisy} of {sum(map(len, runs.values()))} runs were NOISY: not figures to quote")


if __name__ == "__main__":
    main()
