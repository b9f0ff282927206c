"""python -m tinyar.gradcheck: a line for every layer and model of tinyar, or for the layers of a file of your own."""

import argparse
import sys

from tinyar.gradcheck import TOLERANCE, ContractError, cases, check, check_layer, own_cases, shake
from tinyar.gradcheck.call import Call
from tinyar.gradcheck.drawing import draws


def main():
    """Check every case and print a line for each; exit status 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m tinyar.gradcheck", description=__doc__)
    parser.add_argument("file", nargs="?", help="a Python file with a function cases() that returns a list of (title, "
                                                "layer, x or the shape of x): these go through the whole contract")
    args = parser.parse_args()
    try:
        found = own_cases(args.file) if args.file else cases()
    except ValueError as error:
        sys.exit(f"gradcheck: {error}")
    print(f"{'layer':42s} {'parameters':>10s} {'tensors':>8s} {'relative error':>15s}  draws  worst tensor")
    failed = 0
    for case in found:
        try:
            x, condition = case.inputs()
            if args.file:
                comparisons = check_layer(case.layer, x, condition=condition, causal=case.causal, entries=case.entries)
            else:
                comparisons = check(shake(case.layer), x, entries=case.entries, condition=condition)
            drawn = "no" if case.causal is False or not draws(Call(case.layer, x, condition)) else "yes"
        except Exception as error:  # whatever a layer of one's own does: the other cases are still to be checked
            failed += 1
            kind = "" if isinstance(error, (ContractError, TypeError, ValueError)) else f"{type(error).__name__}: "
            print(f"{case.title:42s} WRONG: {kind}{error}")
            continue
        worst = max(comparisons, key=lambda comparison: comparison.relative_error)
        print(f"{case.title:42s} {case.layer.count_parameters():10d} {len(comparisons):8d} "
              f"{worst.relative_error:15.1e}  {drawn:5s}  {worst.name}")
    print(f"{failed} wrong" if failed else f"all below {TOLERANCE:.0e}"
          + (", and the contract is kept" if args.file else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
