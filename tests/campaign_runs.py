"""Runs that are killed, that fill the disk, and that want the same folder: a campaign, not part of the test suite.

    python tests/campaign_runs.py                                   all of it, some minutes on one core
    python tests/campaign_runs.py --kills 200 --sizes 0 --pairs 0   the kills alone, more of them

The runs are those of the example scripts, in processes of their own, with small models on the digits:

    kills    A run is ended by kill -9, up to three times: at any moment, or while a file is being written. Then
             --resume takes it to its end. Weights, history, pictures and names of files must be those of an unbroken
             run, and nothing may be left over. (Where the folder wasn't made yet, the run begins again.)
    sizes    A run on a disk that is too small ends in a message that names a file. With room it is resumed, or begins
             anew by --resume, and must come out like an unbroken one.
    pairs    Two runs with different seeds want one folder at the same moment. One gets it, the other is refused. The
             first is killed, two resume it, and one is refused again. What comes out must be the run of one seed. And
             two starts of the same script without --out get two folders.

Exit status 1 if anything else happened. A small disk is a tmpfs, if this user may mount one; otherwise the size of each
file is limited.
"""

import argparse
import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
COMMON = ["--data", "digits", "--epochs", "3", "--batch-size", "128", "--samples", "2", "--threads", "1"]
SCRIPTS = {
    "PixelCNN": ["train_pixelcnn.py", *COMMON, "--channels", "4", "--blocks", "1", "--kernel-size", "3"],
    "VQ-VAE": ["train_vqvae.py", *COMMON, "--codes", "8", "--widths", "8", "--code-channels", "4",
               "--prior-epochs", "2"],
    "classes": ["train_gated.py", *COMMON, "--channels", "4", "--dilations", "1", "2", "--classes",
                "--hide-labels", "0.3"]}
TEMPORARY = re.compile(r"\..+-\d+-[0-9a-f]{8}\.\w+")  # as tinyar.data.atomic names them
LONGEST = 120  # seconds


class Fault(Exception):
    """Something that may not happen; the text says what."""


@dataclasses.dataclass
class Ended:
    """How a process ended: its status, negative for a signal, and all that it printed."""

    status: int
    text: str

    @property
    def last_line(self):
        return self.text.strip().rpartition("\n")[2][-300:]


def start(command, cwd, limit=None):
    """The process of an example, with its output in a pipe. limit: the most bytes that a file may have."""
    def before():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "https_proxy": "http://127.0.0.1:9"}
    return subprocess.Popen([sys.executable, EXAMPLES / command[0], *command[1:]], cwd=cwd, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=before if limit else None)


def end(process):
    """Wait for a process: Ended."""
    try:
        text, _ = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Fault(f"not at its end after {LONGEST} s") from None
    if "Traceback" in text:
        raise Fault(f"a traceback: {text[-2000:]}")
    return Ended(process.returncode, text)


def run(command, cwd, **options):
    return end(start(command, cwd, **options))


# -- what a run has left -----------------------------------------------------------------------------------------------

def without_times(value):
    """A header without what differs from run to run: its name and its seconds."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in ("seconds", "run")}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def content(path):
    """What a file holds, as far as it is the same in every run of the same command."""
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            return [{**row, "seconds": None} for row in csv.DictReader(file)]
    if path.suffix != ".npz":
        return path.read_bytes()
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist() if name != "digests.npy"}
    with np.load(path) as arrays:
        header = json.loads(bytes(arrays["header"])) if "header" in arrays else None
    return {**members, "header.npy": without_times(header)}


def left_by(folder):
    """{name: content} of all files in a folder and below it."""
    return {path.relative_to(folder).as_posix(): content(path) for path in folder.rglob("*") if path.is_file()}


def check_same(folder, unbroken):
    """Raise Fault unless a folder holds what the unbroken run left."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if names != sorted(unbroken):
        raise Fault(f"files: {sorted(set(names) ^ set(unbroken))} are too many or missing")
    found = left_by(folder)
    differing = [name for name in names if found[name] != unbroken[name]]
    if differing:
        parts = [key for name in differing if isinstance(found[name], dict)
                 for key in found[name] if found[name][key] != unbroken[name].get(key)]
        raise Fault(f"not like the unbroken run: {differing}, in {parts[:4]}")


def unbroken_run(command, top):
    """(what an unbroken run leaves, seconds)."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=top) as folder:
        ended = run([*command, "--out", "run"], folder)
        if ended.status:
            raise Fault(f"the unbroken run: {ended.last_line}")
        return left_by(pathlib.Path(folder) / "run"), time.perf_counter() - begin


# -- kills -------------------------------------------------------------------------------------------------------------

def wait_for_moment(process, folder, rng, seconds):
    """Wait until it is time to kill: (in words, whether the process still ran)."""
    begin, wait, files = time.perf_counter(), rng.uniform(0, seconds), int(rng.integers(1, 13))
    in_a_save, seen = rng.random() < 0.6, set()
    while process.poll() is None:
        if in_a_save:
            seen |= {name for _, _, names in os.walk(folder) for name in names if TEMPORARY.fullmatch(name)}
            if len(seen) >= files:
                break
        elif time.perf_counter() - begin > wait:
            break
        time.sleep(0.0002 if in_a_save else 0.001)  # a file is written in about a millisecond
    words = f"in the writing of file {files}" if in_a_save else f"after {wait:.2f} s"
    return words, process.poll() is None


def kill_and_resume(command, folder, rng, seconds):
    """Begin a run, kill it some times, and take it to its end: how often it was killed, in words."""
    kills, count = [], int(rng.integers(1, 4))
    while True:
        resumed = ["--resume"] if kills and folder.is_dir() else []
        process = start([*command, *resumed, "--out", folder.name], folder.parent)
        if len(kills) < count:
            words, running = wait_for_moment(process, folder, rng, seconds)
            if running:
                process.kill()
                kills.append(words)
        ended = end(process)
        if ended.status == 0:
            return kills
        if ended.status != -9:
            raise Fault(f"killed {kills}, then: {ended.last_line}")


def try_kills(count, rng, top, references):
    """Kill `count` runs: the number of faults."""
    faults = total = 0
    for number in range(count):
        name = list(SCRIPTS)[number % len(SCRIPTS)]
        unbroken, seconds = references[name]
        folder, kills = top / f"kill-{number}", []
        try:
            kills = kill_and_resume(SCRIPTS[name], folder, rng, seconds)
            check_same(folder, unbroken)
        except Fault as fault:
            faults += 1
            print(f"  {name}, killed {kills}: {fault}")
        total += len(kills)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"kills: {count} runs killed {total} times, {count - faults} like the unbroken run, {faults} faults")
    return faults


# -- a full disk -------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def small_disk(top, size, may_mount):
    """A folder on a disk of `size` bytes: (folder, function that makes room, limit of a file's size)."""
    folder = top / "disk"
    folder.mkdir()
    mounted = may_mount and shutil.which("mount") and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode
    try:
        if mounted:
            yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True), None
        else:
            yield folder, lambda: None, size // 3  # the largest file is about a third of all
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)
        shutil.rmtree(folder)


def full_disk(command, top, size, unbroken, may_mount=True):
    """A run on too small a disk, then with room: in words, what happened."""
    with small_disk(top, size, may_mount) as (disk, make_room, limit):
        ended, tries = run([*command, "--out", "run"], disk, limit=limit), 1
        if ended.status == 0:
            check_same(disk / "run", unbroken)
            return "it had room enough"
        if not re.search(r"can't write .*\brun(/[\w.-]+)+", ended.last_line):
            raise Fault(f"no file named: {ended.last_line}")
        make_room()
        again = ["--resume"] if (disk / "run").is_dir() else []
        resumed = run([*command, *again, "--out", "run"], disk)
        if resumed.status:
            raise Fault(f"{ended.last_line}; then, with room: {resumed.last_line}")
        check_same(disk / "run", unbroken)
        return ended.last_line


def try_sizes(count, top, references):
    """Full disks of `count` sizes: the number of faults."""
    faults = 0
    for number in range(count):
        name = list(SCRIPTS)[number % len(SCRIPTS)]
        unbroken, _ = references[name]
        most = 1.2 * references[name + " bytes"]  # there must be room for the old and the new file
        size = int(4096 * max(1, round(most / 4096 * (number + 1) / (count + 1))))
        try:
            what = full_disk(SCRIPTS[name], top, size, unbroken)
        except Fault as fault:
            faults, what = faults + 1, f"FAULT: {fault}"
        print(f"  {name}, {size // 1024} kB: {what}")
    print(f"sizes: {count} full disks, {faults} faults")
    return faults


# -- one folder for two ------------------------------------------------------------------------------------------------

REFUSALS = "belongs to a run", "holds a training run already"


def both(first, second, cwd):
    """Start two commands at the same moment: two processes."""
    return start(first, cwd), start(second, cwd)


def check_refused(endings, winners):
    """Raise Fault unless as many of the two came through as may, and the others were refused by a clear line."""
    refused = [ended for ended in endings if ended.status not in (0, -9)]
    for ended in refused:
        if not any(words in ended.last_line for words in REFUSALS) or ended.status != 1:
            raise Fault(f"refused by {ended.last_line!r}, status {ended.status}")
    if len(endings) - len(refused) not in winners:
        raise Fault(f"{len(refused)} of {len(endings)} were refused: {[ended.last_line for ended in endings]}")


def one_folder(name, top, rng, references):
    """Two runs of different seeds begin in one folder, with a kill, and two resume it."""
    command, folder = SCRIPTS[name], top / "shared"
    seeds = [*command, "--seed", "0", "--out", "shared"], [*command, "--seed", "1", "--out", "shared"]
    processes, begin = both(*seeds, top), time.perf_counter()
    while not folder.is_dir() and time.perf_counter() - begin < LONGEST:
        time.sleep(0.001)
    wait = rng.uniform(0, 0.8) * references[name][1]
    time.sleep(wait)
    for process in processes:
        process.kill()
    check_refused([end(process) for process in processes], winners=(1, 2))  # 2: both killed before either had it
    kept = [path for path in folder.rglob("training.npz")]
    seed = json.loads(bytes(np.load(kept[0])["header"]))["state"]["options"]["seed"] if kept else 0
    resumed = [*seeds[seed], "--resume"]
    check_refused([end(process) for process in both(resumed, resumed, top)], winners=(1, 2))  # 2: one after the other
    check_same(folder, references[f"{name} seed {seed}"][0])
    shutil.rmtree(folder)
    return f"that of seed {seed}, killed {wait:.2f} s after its claim{'' if kept else ', before it was saved'}"


def two_folders(name, top, references):
    """Two starts of one script without --out."""
    endings = [end(process) for process in both(SCRIPTS[name], SCRIPTS[name], top)]
    for ended in endings:
        if ended.status:
            raise Fault(f"without --out: {ended.last_line}")
    folders = sorted((top / "runs").iterdir())
    if len(folders) != 2:
        raise Fault(f"two runs have {len(folders)} folders: {folders}")
    for folder in folders:
        check_same(folder, references[name][0])
    shutil.rmtree(top / "runs")


def try_pairs(count, rng, top, references):
    """`count` pairs in one folder, and for each script a pair without a folder: the number of faults."""
    faults = 0
    for number in range(count):
        name = ("PixelCNN", "VQ-VAE")[number % 2]
        try:
            print(f"  {name}, two in one folder: {one_folder(name, top, rng, references)}")
        except Fault as fault:
            faults += 1
            print(f"  {name}, two in one folder: FAULT: {fault}")
        shutil.rmtree(top / "shared", ignore_errors=True)
    for name in SCRIPTS if count else ():
        try:
            two_folders(name, top, references)
        except Fault as fault:
            faults += 1
            print(f"  {name}, two without --out: FAULT: {fault}")
        shutil.rmtree(top / "runs", ignore_errors=True)
    print(f"pairs: {count} in one folder, and {len(SCRIPTS) if count else 0} that took two folders, {faults} faults")
    return faults


def make_references(top, pairs):
    """{name: (what an unbroken run leaves, seconds)}, and its bytes, and with pairs the runs of two seeds."""
    references = {}
    for name, command in SCRIPTS.items():
        references[name] = unbroken_run(command, top)
        with tempfile.TemporaryDirectory(dir=top) as folder:
            run([*command, "--out", "run"], folder)
            check_same(pathlib.Path(folder) / "run", references[name][0])  # or nothing here means anything
            references[name + " bytes"] = sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*"))
        references[f"{name} seed 0"] = references[name]  # the default
        if pairs:
            references[f"{name} seed 1"] = unbroken_run([*command, "--seed", "1"], top)
    return references


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60, help="runs to kill (60)")
    parser.add_argument("--sizes", type=int, default=16, help="sizes of full disks (16)")
    parser.add_argument("--pairs", type=int, default=10, help="pairs of runs in one folder (10)")
    parser.add_argument("--seed", type=int, default=0, help="other moments (0)")
    args = parser.parse_args()
    rng, begin = np.random.default_rng(args.seed), time.perf_counter()
    with tempfile.TemporaryDirectory() as top:
        top = pathlib.Path(top)
        references = make_references(top, args.pairs)
        faults = try_kills(args.kills, rng, top, references)
        faults += try_sizes(args.sizes, top, references)
        faults += try_pairs(args.pairs, rng, top, references)
    print(f"{faults} faults, {time.perf_counter() - begin:.0f} s")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
