"""Every reader of tinyar against spoilt files, thousands of them: a campaign, not part of the test suite.

    python tests/campaign_files.py --mutants 2000                       every reader, some minutes each
    python tests/campaign_files.py --mutants 200 --readers draw IDX     those whose names hold one of these words
    python tests/campaign_files.py --readers CIFAR --only 1234          a single mutant again
    ... --only 1234 --keep FOLDER                                       and its files are left in FOLDER

Mutant number i of a reader depends on the seed, the reader, and i alone. A sound file is spoilt in one of the ways of
campaign_mutants.py, and read by one of the readers of campaign_readers.py, in a child process that may take 1 GB beside
what it has. These are faults:

    foreign     an exception that isn't documented. Documented are CheckpointError, ValueError, FileNotFoundError,
                FileExistsError, IsADirectoryError, PermissionError, and NonFiniteError where a run goes on from a
                sealed file
    nameless    a documented one that doesn't name the file
    hang        it took more than 20 seconds
    memory      it took more than 1 GB
    crash       the process died
    wrong       something else than what was written was read, although no checksum was made anew
    accepted    something was read, although no checksum makes it right: NaN, another shape or number type, ...
    strict      it was refused, although it is what the format's definition allows, or just a cache
    touched     it was refused, but the model or the folder isn't as it was before

Exit status 1 if there was any. Where there is a GPU, set TINYAR_BACKEND=numpy: CUDA doesn't survive the fork of a
child process. test_campaign.py runs a short sample.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from campaign_mutants import ANY, REFUSED, SAME, exchanged, one_of  # noqa: E402
from campaign_readers import READERS, TouchedError  # noqa: E402

from tinyar.backend import NonFiniteError  # noqa: E402
from tinyar.data import download  # noqa: E402

SECONDS, MEMORY = 20, 2 ** 30
DOCUMENTED = (ValueError, FileNotFoundError, FileExistsError, IsADirectoryError,
              PermissionError)  # a CheckpointError is a ValueError
AT_ONCE = 200  # mutants a child process
SOUND = "refused", "the same", "another"  # what may come out: "another" is what the spoilt file says by its checksums


class HangError(BaseException):
    """It takes too long. No Exception, so that nobody takes it for a damaged file."""


@dataclasses.dataclass
class Outcome:
    """What came of one mutant: a verdict, and in words what was done and what happened; seconds, and bytes taken."""

    number: int
    kind: str
    verdict: str
    what: str = ""
    happened: str = ""
    where: str = ""
    seconds: float = 0.0
    memory: int = 0


# -- one mutant --------------------------------------------------------------------------------------------------------

def mutant_of(reader, sound, number, seed):
    """(kind, file to spoil, Mutant)."""
    rng = np.random.default_rng([seed, sum(reader.name.encode()), number])
    kind = list(reader.kinds)[number % len(reader.kinds)]
    target = one_of(rng, reader.targets)
    spoil, more = reader.kinds[kind], {}
    if spoil is exchanged:
        more = {"others": [(path.name, path.read_bytes()) for path in sorted(sound.iterdir()) if path.name != target]}
    return kind, target, spoil((sound / target).read_bytes(), rng, **more)


def flat(value, path=""):
    """Nested dicts and lists as {path: what stands there, exactly}."""
    if isinstance(value, dict):
        return {key: item for name in value for key, item in flat(value[name], f"{path}/{name}").items()}
    if isinstance(value, (list, tuple)):
        return {path: len(value), **{key: item for i, each in enumerate(value)
                                     for key, item in flat(each, f"{path}/{i}").items()}}
    if isinstance(value, np.ndarray):
        return {path: (value.dtype.str, value.shape, value.tobytes())}
    return {path: repr(value)}


def names_file(error, target, folder):
    """Whether an error's text names the file; or, of what several files are too few for, their folder."""
    return pathlib.Path(target).name.removesuffix(".gz") in str(error) or f"{folder}:" in str(error)


def tried(reader, folder):
    """(what was read, None) or (None, the exception), in bounded time."""
    def ring(signum, frame):
        raise HangError(f"more than {SECONDS} s")
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return reader.read(folder), None
    except (Exception, SystemExit, HangError) as error:
        return None, error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def verdict_on_error(error, mutant, target, folder):
    chain, seen = error, []
    while chain is not None and chain not in seen:
        seen.append(chain)
        chain = chain.__cause__ if chain.__suppress_context__ else chain.__context__
    if any(isinstance(each, MemoryError) for each in seen):
        return "memory"
    if any(isinstance(each, HangError) for each in seen):
        return "hang"
    if isinstance(error, TouchedError):
        return "touched"
    if isinstance(error, NonFiniteError) and mutant.expect == ANY:
        return "refused"
    if not isinstance(error, DOCUMENTED):
        return "foreign"
    return "refused" if names_file(error, target, folder) else "nameless"


def verdict_on_value(value, reader, mutant, sound_value, folder):
    if mutant.expect == REFUSED and not reader.cache:
        return "accepted", ""
    expected = sound_value if mutant.expect == SAME and reader.checksums else None
    if reader.oracle:
        expected = reader.oracle(folder)
        if expected is None:
            return "accepted", "the format's definition says that it is damaged"
    found, sound_value = flat(value), flat(sound_value)
    if expected is not None and found != flat(expected):
        differ = [key for key in {**found, **flat(expected)} if found.get(key) != flat(expected).get(key)]
        return "wrong", f"differs in {', '.join(differ[:3])}"
    return ("the same" if found == sound_value else "another"), ""


def refused_too_much(reader, mutant, target, folder):
    """Whether a folder was refused that its format's definition has nothing against, or a file that is just a cache."""
    if reader.cache:
        return not (folder / target).is_dir()
    return reader.oracle is not None and mutant.expect != REFUSED and reader.oracle(folder) is not None


def place_of(error):
    """The innermost line of tinyar or the examples that an exception went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if "/tinyar/" in frame.filename or "/examples/" in frame.filename]
    return f"{pathlib.Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def memory_peak(reset=False):
    """The most memory that this process has taken, in bytes, since it was last reset."""
    with contextlib.suppress(OSError):
        if reset:
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return 0


def judge(reader, sound, sound_value, number, seed, folder):
    """Make a mutant in an empty folder and have it read: an Outcome."""
    kind, target, mutant = mutant_of(reader, sound, number, seed)
    shutil.copytree(sound, folder, dirs_exist_ok=True)
    mutant.put(folder / target)
    outcome = Outcome(number, kind, "", f"{target}: {mutant.what}")
    before, start = memory_peak(reset=True), time.perf_counter()
    value, error = tried(reader, folder)
    outcome.seconds, outcome.memory = time.perf_counter() - start, max(0, memory_peak() - before)
    if error is None:
        outcome.verdict, outcome.happened = verdict_on_value(value, reader, mutant, sound_value, folder)
    else:
        outcome.verdict = verdict_on_error(error, mutant, target, folder)
        outcome.happened, outcome.where = f"{type(error).__name__}: {error}"[:400], place_of(error)
        if outcome.verdict == "refused" and refused_too_much(reader, mutant, target, folder):
            outcome.verdict = "strict"
    return outcome


# -- many, in child processes ------------------------------------------------------------------------------------------

def child(reader, sound, sound_value, numbers, seed, pipe):
    """Judge these mutants, and write an Outcome a line into the pipe."""
    warnings.simplefilter("ignore")
    size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    with tempfile.TemporaryDirectory() as top, open(pipe, "w") as out:
        for number in numbers:
            folder = pathlib.Path(top) / str(number)
            print(json.dumps(dataclasses.asdict(judge(reader, sound, sound_value, number, seed, folder))), file=out,
                  flush=True)
            shutil.rmtree(folder, ignore_errors=True)


def outcomes(reader, sound, sound_value, numbers, seed):
    """Yield an Outcome for each mutant. What the child doesn't survive is an outcome too, and another goes on."""
    numbers = list(numbers)
    while numbers:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.close(reading)
                child(reader, sound, sound_value, numbers[:AT_ONCE], seed, writing)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(writing)
        left = collections.deque(numbers[:AT_ONCE])
        with open(reading) as lines:
            while left and select.select([lines], [], [], SECONDS + 10)[0] and (line := lines.readline()):
                left.popleft()
                yield Outcome(**json.loads(line))
        if left:
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        numbers = [*left, *numbers[AT_ONCE:]]
        if left:
            number = numbers.pop(0)
            kind, target, mutant = mutant_of(reader, sound, number, seed)
            yield Outcome(number, kind, "hang" if status == signal.SIGKILL else "crash", f"{target}: {mutant.what}",
                          f"the process ended with status {status}")


def campaign(reader, numbers, seed=0):
    """The Outcomes of these mutants of a reader."""
    with tempfile.TemporaryDirectory() as top:
        sound = pathlib.Path(top) / "sound"
        sound.mkdir()
        reader.make(sound)
        again = pathlib.Path(top) / "again"
        shutil.copytree(sound, again)
        yield from outcomes(reader, sound, reader.read(again), numbers, seed)


@contextlib.contextmanager
def no_surroundings():
    """Inside, no data folder and no cache are found, and there is no network."""
    def refuse(url):
        raise OSError(f"no network here: {url}")
    before, opener = dict(os.environ), download.open_url
    with tempfile.TemporaryDirectory() as cache:
        os.environ.pop("TINYAR_DATA", None)
        os.environ.update(XDG_CACHE_HOME=cache)
        download.open_url = refuse
        try:
            yield
        finally:
            download.open_url = opener
            os.environ.clear()
            os.environ.update(before)


# -- the report --------------------------------------------------------------------------------------------------------

def report(reader, found):
    """Print a table for one reader, a line a kind; returns its faults."""
    faults = [outcome for outcome in found if outcome.verdict not in SOUND]
    columns = [*SOUND, *sorted({outcome.verdict for outcome in faults})]
    print(f"\n{reader.name}: {len(found):,} mutants, {sum(outcome.seconds for outcome in found):.0f} s, the slowest "
          f"{max(outcome.seconds for outcome in found):.1f} s, the largest "
          f"{max(outcome.memory for outcome in found) / 2 ** 20:.0f} MB, {len(faults)} faults")
    print(f"    {'':22}" + "".join(f"{column:>10}" for column in columns))
    for kind in reader.kinds:
        count = collections.Counter(outcome.verdict for outcome in found if outcome.kind == kind)
        print(f"    {kind:22}" + "".join(f"{count[column]:10}" for column in columns))
    return faults


def print_faults(reader, faults, seed):
    """One example of each sort of fault, the one that is told in the fewest words, and how to see it again."""
    sorts = collections.defaultdict(list)
    for fault in faults:
        sorts[fault.verdict, fault.where, fault.happened.partition(":")[0]].append(fault)
    for same in sorted(sorts.values(), key=len, reverse=True):
        first = min(same, key=lambda fault: len(fault.what))
        print(f"  {first.verdict} ({len(same)} alike, numbers {[fault.number for fault in same][:6]}): {first.what}\n"
              f"      {first.where} {first.happened}\n"
              f"      python tests/campaign_files.py --readers '{reader.name}' --seed {seed} --only {first.number}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=200, help="of each reader (200)")
    parser.add_argument("--seed", type=int, default=0, help="other mutants (0)")
    parser.add_argument("--readers", nargs="+", default=[""], help="words that occur in the readers' names (all)")
    parser.add_argument("--only", type=int, help="the number of a single mutant")
    parser.add_argument("--keep", type=pathlib.Path, help="with --only: a folder to which its files are written")
    args = parser.parse_args()
    numbers = range(args.mutants) if args.only is None else [args.only]
    total = faulty = 0
    with no_surroundings():
        for reader in READERS:
            if any(word in reader.name for word in args.readers):
                if args.keep:
                    args.keep.mkdir(parents=True)
                    reader.make(args.keep)
                    _, target, mutant = mutant_of(reader, args.keep, args.only, args.seed)
                    mutant.put(args.keep / target)
                found = list(campaign(reader, numbers, args.seed))
                faults = report(reader, found)
                print_faults(reader, faults, args.seed)
                sys.stdout.flush()
                total, faulty = total + len(found), faulty + len(faults)
    print(f"\n{total:,} mutants, {faulty} faults")
    sys.exit(faulty > 0)


if __name__ == "__main__":
    main()
