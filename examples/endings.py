"""How a script ends: whatever is wrong, and Ctrl-C, comes as one line and exit status 1, not as a traceback.

A script imports this before all else, as the other imports take a second, and ends with `endings.run(main)`.

    the imports   Ctrl-C stops at once
    main          Ctrl-C raises KeyboardInterrupt; a training saves first (tinyar.training.interrupt)
    afterwards    Ctrl-C comes too late to matter

Whoever changed a line of tinyar wants to see where it broke: `python -X dev examples/...` shows the traceback. Without
it the line names the place, unless the error was raised on purpose.
"""

import linecache
import os
import signal
import sys
import traceback
import warnings

FOLDER = os.path.dirname(os.path.abspath(__file__))
SCRIPT = getattr(sys.modules["__main__"], "__file__", None) or ""
# Whether Python was started with one of the examples. If not, in a test say, somebody else looks after its end.
STARTED_HERE = (os.path.abspath(SCRIPT).startswith(FOLDER + os.sep)
                and os.path.basename(SCRIPT) in map(os.path.basename, sys.orig_argv))
SAYS_ENOUGH = OSError, MemoryError, ImportError, RuntimeError


def run(main, stopped="nothing was written", ranks=False):
    """Run a script. `stopped` says what is left after Ctrl-C; ranks, whether several may run it, started by mpiexec."""
    try:
        listen()
        be_quiet_unless_first(ranks)
        with warnings.catch_warnings():  # of too large numbers: training looks for them itself, and says more
            warnings.filterwarnings("ignore", "(overflow|invalid value|divide by zero) encountered", RuntimeWarning)
            main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        leave(f"stopped; {stopped}")
    except SystemExit as end:
        leave(end.code)
    except BrokenPipeError:  # whoever read what is printed, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        leave(f"{os.path.basename(sys.argv[0])}: {one_line(error)}")
    finally:
        if STARTED_HERE:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        folders = sys.modules.get("tinyar.training.folders")
        if folders:
            folders.release_all()


def leave(code):
    """End the script as sys.exit does. Of several ranks, one that fails says who it is, and ends the others."""
    ranks = ranks_of_this()
    if code and ranks and ranks.size > 1:
        printed = isinstance(code, int)  # by argparse, on rank 0
        ranks.fail(code if not printed else "" if ranks.first else f"it ends with status {code}")
        sys.exit(code if printed else 1)
    sys.exit(code)


def be_quiet_unless_first(allowed):
    """Of several ranks only rank 0 prints. Raises ValueError where a script isn't made for several."""
    ranks = ranks_of_this()
    if ranks and ranks.size > 1:
        if not allowed:
            raise ValueError("this script runs as one process: start it without mpiexec")
        if not ranks.first:
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")


def ranks_of_this():
    """The ranks of which this process is one; None where tinyar isn't imported."""
    module = sys.modules.get("tinyar.training.world")
    return module and module.world()


def one_line(error):
    """What went wrong, for the one who typed the command."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    elif isinstance(error, MemoryError):
        text = f"not enough memory; smaller sizes, or fewer images at a time, take less ({text or 'no details'})"
    elif isinstance(error, ModuleNotFoundError):
        text += '; in the folder above examples/, install what is needed: pip install -e ".[test]"'
    elif not isinstance(error, SAYS_ENOUGH) and not on_purpose(error):
        text = f"{type(error).__name__}: {text} ({place(error)}; python -X dev shows the way there)"
    return "; ".join(line.strip() for line in text.splitlines() if line.strip()) or type(error).__name__


def on_purpose(error):
    """Whether a `raise` made this error, so that its text says what to do; and not an operation that failed."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return not last or linecache.getline(last[0].filename, last[0].lineno).lstrip().startswith("raise ")


def place(error):
    """File and line where an error arose."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{os.path.basename(last.filename)}, line {last.lineno}"


# -- until run begins --------------------------------------------------------------------------------------------------

def stop_at_once(number, frame):
    """What Ctrl-C does while nothing has begun: an exception could be swallowed by the imports, or come as another."""
    os.write(2, b"stopped; nothing was written\n")
    os._exit(1)


def listen():
    """From now on Ctrl-C raises KeyboardInterrupt, as usual in Python."""
    if signal.getsignal(signal.SIGINT) is stop_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def in_one_line(kind, error, trace):
    """What to do with an exception that nobody caught: one of the imports, say."""
    sys.exit(f"{os.path.basename(SCRIPT)}: {'stopped' if issubclass(kind, KeyboardInterrupt) else one_line(error)}")


if STARTED_HERE:
    os.environ.pop("MPLBACKEND", None)  # a notebook's, say, which needn't be there; no example opens a window
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # closed by >&-
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop_at_once)
    if not sys.flags.dev_mode:
        sys.excepthook = in_one_line
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # names of files may have letters that the terminal lacks
