"""Every option of every example with ten bad values, and Ctrl-C at any moment: a campaign, not part of the test suite.

    python tests/campaign_command_line.py                           all of it, about an hour on one core
    python tests/campaign_command_line.py --scripts draw layers     those scripts whose names hold one of these words
    python tests/campaign_command_line.py --options label out       those options
    python tests/campaign_command_line.py --interrupts 200          no bad values; Ctrl-C, so many times in all

A bad value must end the script within 5 seconds, with exit status 1 or 2, one line on standard error, and no file
left behind. Ctrl-C must end it with one line too, beside the bars of a training, whether it comes during the imports,
the training or the drawing. What comes before Python has read the script's first line is counted apart: there Python
itself prints a traceback, and no script can help it.

Exit status 1 if anything else happened. test_command_line.py runs a few of these.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
SECONDS = 5
LONG = "9" * 5000

NUMBERS = "", " ", "abc", "-1", "nan", "inf", "1e400", "0x10", "1,000", LONG
NAMES = "", " ", "abc", "-1", "nan", "Digits", "digits ", "mnist,digits", "../digits", "x" * 5000
FOLDERS = ("", "/dev/null", "/dev/null/x", "~nobody-here", "~nobody-here/x", "x" * 300, "x/" * 2500, "/proc/x", "file",
           "file/x")  # none of which can be made
CHECKPOINTS = ("", "/dev/null", "/dev/zero", "~nobody-here", "x" * 300, "missing.npz", "file", "pipe", "empty",
               "half.npz")
PICTURES = ("", "x", "x.jpg", "/dev/null/x.png", "~nobody-here/x.png", "x" * 300 + ".png", "file/x.png", ".png", "x.",
            "/")
TARGETS = ("", "x", "x.jpg", "/dev/null/x.npz", "~nobody-here/x.npz", "x" * 300 + ".npz", "file/x.npz", "file", "gated",
           "/proc/x.npz")
MISSING_DATA = "", "missing", "file", "/dev/null", "~nobody-here", "x" * 300, "x/" * 2500, "empty/x", "pipe", "/proc/x"
TITLES = "abc", "-1", "nan", "linear", "Linear64", "7x9", "ReLU 65", "->->", "*", "x" * 5000
LABELS = "", " ", "abc", "10", "-2", "nan", "1e3", "0x1", "1.5", LONG

# What a script is started with, so that only the option in question is wrong.
DIGITS = ["--data", "digits"]
BASE = {"draw.py": ["gated"], "pixel_levels.py": ["gated"], "attention.py": ["snail"], "receptive_field.py": [],
        "evaluate.py": ["gated"], "recognize.py": ["gated"],
        "ship.py": ["gated", "given.npz", "--minutes", "1", "--machine", "one", "--command", "python"],
        **{f"benchmarks/{name}.py": [] for name in ("layers", "ranks", "sampling", "training_step")}}
NEEDED = {("draw.py", "known_rows"): ["--complete"], ("draw.py", "images"): ["--complete"],
          ("draw.py", "completions"): ["--complete"], ("draw.py", "data_dir"): ["--complete"],
          **{("evaluate.py", option): DIGITS for option in ("size", "grey", "levels", "binarize", "own")},
          "hide_labels": ["--classes"]}
VALUES = {"out": FOLDERS, ("draw.py", "out"): PICTURES, ("pixel_levels.py", "out"): PICTURES,
          ("attention.py", "out"): PICTURES, "picture": PICTURES, "run": CHECKPOINTS,
          "checkpoint": CHECKPOINTS, "start": CHECKPOINTS,
          "runs": CHECKPOINTS, "prior": CHECKPOINTS, "second": CHECKPOINTS,
          "target": TARGETS, "command": ("", " "), "machine": ("", " "), "data_dir": MISSING_DATA,
          "label": LABELS, ("train_vqvae.py", "prior"): NAMES,
          ("benchmarks/layers.py", "only"): TITLES}
SPY = """
import argparse, json, runpy, sys
def tell(self, *_):
    print(json.dumps([[a.dest, a.option_strings, a.nargs, getattr(a.type, "__name__", None), bool(a.choices)]
                      for a in self._actions if a.dest != "help"]))
    sys.exit()
argparse.ArgumentParser.parse_args = tell
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def scripts():
    """The names of all examples that have options."""
    paths = [*EXAMPLES.glob("*.py"), *(EXAMPLES / "benchmarks").glob("*.py")]
    return sorted(path.relative_to(EXAMPLES).as_posix() for path in paths
                  if "def main():" in path.read_text() and "parse" in path.read_text())


def environment(folder):
    """No network, no data, one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "https_proxy": "http://127.0.0.1:9", "TINYAR_DATA": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache")}


def start(script, arguments, folder):
    return subprocess.Popen([sys.executable, EXAMPLES / script, *arguments], cwd=folder, env=environment(folder),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")


def prepare(folder):
    """What the bad values name: a text, a pipe, an empty folder, half a checkpoint; and small runs to draw from."""
    small = ["--classes", "--channels", "8", "--dilations", "1", "--epochs", "1", "--out", "gated"]
    subprocess.run([sys.executable, EXAMPLES / "train_gated.py", *DIGITS, *small], cwd=folder, env=environment(folder),
                   check=True, capture_output=True)
    small = ["--channels", "4", "--blocks", "1", "--units", "1", "--epochs", "1", "--out", "snail"]
    subprocess.run([sys.executable, EXAMPLES / "train_pixelsnail.py", *DIGITS, *small], cwd=folder,
                   env=environment(folder), check=True, capture_output=True)
    (folder / "file").write_text("a text")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "half.npz").write_bytes((folder / "gated" / "model.npz").read_bytes()[:2000])


def options_of(script, folder):
    """[dest, option strings, nargs, the name of its type, whether it has choices] of each option."""
    result = subprocess.run([sys.executable, "-c", SPY, EXAMPLES / script], cwd=folder, env=environment(folder),
                            capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def bad_values(script, dest, nargs, kind, choices):
    """Ten values that the option can't have."""
    found = VALUES.get((script, dest)) or VALUES.get(dest)
    if found:
        return found
    return NAMES if choices or kind is None or nargs == 0 else NUMBERS


def commands(script, dest, names, nargs, kind, choices):
    """The arguments of a call for each bad value."""
    base = BASE.get(script, DIGITS)
    if dest == "data_dir" and script == "draw.py":
        base = ["half.npz"]
    elif dest == "data_dir" and script not in BASE:
        base = ["--data", "mnist"]
    for value in bad_values(script, dest, nargs, kind, choices):
        needed = NEEDED.get((script, dest)) or NEEDED.get(dest) or []
        if not names:
            at = {"checkpoint": 0, "run": 0, "target": 1}.get(dest, len(base))
            yield [*base[:at], value, *base[at + 1:]]
        elif nargs == 0:
            yield [*base, f"{names[-1]}={value}"]
        elif nargs in (None, "?"):
            yield [*base, *needed, f"{names[-1]}={value}"]
        else:
            yield [*base, *needed, names[-1], *([value] * (nargs if isinstance(nargs, int) else 1))]


def verdict(script, arguments, folder):
    """What is wrong with the end of one call: an empty text if nothing is."""
    before, begun = sorted(folder.rglob("*")), time.time()
    process = start(script, arguments, folder)
    try:
        out, err = process.communicate(timeout=4 * SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "hangs"
    lines, seconds = [line for line in err.splitlines() if line.strip()], time.time() - begun
    wrong = ["traceback"] * ("Traceback" in out + err) + ["not one line"] * (len(lines) != 1)
    wrong += [f"exit status {process.returncode}"] * (process.returncode not in (1, 2))
    wrong += [f"{seconds:.1f} s"] * (seconds > SECONDS) + ["left files"] * (sorted(folder.rglob("*")) != before)
    return f"{', '.join(wrong)}: {lines[-1][:200] if lines else ''}" if wrong else ""


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------

RUNS = {  # what takes a few seconds
    "train_pixelcnn.py": [*DIGITS, "--channels", "8", "--blocks", "1", "--epochs", "2"],
    "train_vqvae.py": [*DIGITS, "--widths", "8", "--epochs", "2", "--prior-epochs", "2"],
    "draw.py": ["gated", "--complete", "--images", "64"],
    "evaluate.py": ["gated", "--classify", "300", "--noise"], "receptive_field.py": ["--size", "12"],
    "compare.py": [*DIGITS, "--epochs", "2", "--images", "50", "--channels", "8"],
    "own_layer.py": [], "training_loop.py": [], "benchmarks/layers.py": ["--rounds", "1", "--batch-size", "8"],
}


def interrupted(script, seconds, folder):
    """(what is wrong with a script's end after Ctrl-C, or "", whether the script had begun)"""
    process = start(script, RUNS[script], folder)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=4 * SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "hangs", True
    if process.returncode == 0:
        return "", True
    begun = "examples" in err or "Traceback" not in err
    last = err.strip().splitlines()[-1] if err.strip() else ""
    wrong = ["traceback"] * ("Traceback" in err) + ["no word of it"] * ("stopped" not in last)
    wrong += [f"exit status {process.returncode}"] * (process.returncode != 1)
    return (f"{', '.join(wrong)}: {err[-600:]}" if wrong else ""), begun


# -- the campaign ------------------------------------------------------------------------------------------------------

def try_values(args, folder):
    """Print what is wrong; returns how many calls there were, and how many ended wrong."""
    tried = failed = 0
    for script in scripts():
        if args.scripts and not any(word in script for word in args.scripts):
            continue
        before = tried, failed
        for option in options_of(script, folder):
            if args.options and option[0] not in args.options:
                continue
            for arguments in commands(script, *option):
                tried, wrong = tried + 1, verdict(script, arguments, folder)
                if wrong:
                    failed += 1
                    print(f"  {script} {' '.join(word[:60] for word in arguments)}: {wrong}", flush=True)
        print(f"{script}: {tried - before[0]} calls, {failed - before[1]} ended wrong", flush=True)
    return tried, failed


def try_interrupts(args, folder):
    """The same for Ctrl-C, at random moments of the first three seconds."""
    rng, failed, early = random.Random(args.seed), 0, 0
    for i in range(args.interrupts):
        script, seconds = list(RUNS)[i % len(RUNS)], rng.uniform(0.05, 3)
        wrong, begun = interrupted(script, seconds, folder)
        failed, early = failed + bool(wrong and begun), early + bool(wrong and not begun)
        if wrong and begun:
            print(f"  {script} after {seconds:.2f} s: {wrong}", flush=True)
    print(f"Ctrl-C: {args.interrupts} times, {failed} ended wrong, {early} before the script's first line")
    return args.interrupts, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scripts", nargs="+", help="words; scripts whose names hold one of them (all)")
    parser.add_argument("--options", nargs="+", help="options, without their dashes (all)")
    parser.add_argument("--interrupts", type=int, default=0, help="Ctrl-C so many times, instead of bad values")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of Ctrl-C (0)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        prepare(pathlib.Path(name))
        tried, failed = (try_interrupts if args.interrupts else try_values)(args, pathlib.Path(name))
    print(f"{tried} calls, {failed} ended wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
