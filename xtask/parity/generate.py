"""Random models of each library and what that library predicts, for `cargo xtask parity`.

    python3.11 generate.py --work FOLDER --out FOLDER --models N --seed S [--all-versions] [FORMAT | FORMAT/VERSION ...]

makes the environments that the reference files of the tests are made in (below `--work`, kept there), and in each
`<out>/<format>/<version>/` by `random_<format>.py`: files as `reference.py` of the tests describes them. Model number K of a seed
is always the same, whatever N is. What was in `<out>` is deleted. An environment that can not be made is named, and the exit
status is then 3.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parents[1] / "common" / "forest" / "tests" / "fixtures"
sys.path.insert(0, str(FIXTURES))
import make  # noqa: E402

# format: (the environments of which reference files, what makes the models)
FORMATS = {
    "sklearn_forests": ("sklearn_boosting", "random_sklearn_forests"),
    "sklearn_boosting": ("sklearn_boosting", "random_sklearn_boosting"),
    # the same, as numpy computes where nobody keeps it from its own exp and log
    "sklearn_vectors": ("sklearn_boosting", "random_sklearn_boosting"),
    "xgboost": ("xgboost", "random_xgboost"),
    "lightgbm": ("lightgbm", "random_lightgbm"),
    "catboost": ("catboost", "random_catboost"),
    "onnx": ("onnx", "random_onnx"),
}


def generate(options):
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    missing = []
    for name, (library, script) in FORMATS.items():
        versions = list(make.PINS[library][1])
        for version in versions:
            place = f"{name}/{version}"
            newest = options.all_versions or version == versions[-1]
            if options.wanted and place not in options.wanted and not (newest and name in options.wanted):
                continue
            if not options.wanted and not newest:
                continue
            try:
                python = make.environment(options.work, library, version)
            except (OSError, ValueError, subprocess.CalledProcessError) as error:
                print(f"{place}: {error}", file=sys.stderr)
                python = None
            if python is None:
                missing.append(place)
                print(f"{place} is skipped: its environment can not be made", file=sys.stderr)
                continue
            target = options.out / name / version
            target.mkdir(parents=True)
            path = {"PYTHONPATH": os.pathsep.join([str(HERE), str(FIXTURES)]), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
            words = [python, HERE / f"{script}.py", target, version, str(options.models), str(options.seed)]
            subprocess.run(words, check=True, env={**os.environ, **path})
    return 3 if missing else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--all-versions", action="store_true")
    parser.add_argument("wanted", nargs="*", metavar="FORMAT | FORMAT/VERSION")
    options = parser.parse_args()
    known = set(FORMATS)
    for name, (library, _) in FORMATS.items():
        known |= {f"{name}/{version}" for version in make.PINS[library][1]}
    if unknown := set(options.wanted) - known:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    options.work, options.out = options.work.resolve(), options.out.resolve()
    sys.exit(generate(options))
