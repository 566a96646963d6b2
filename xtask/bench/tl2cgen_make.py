"""Translates a model of the bench to C and compiles that with -O3, for engine `tl2cgen` of generated.c. This takes
minutes; one that was ended goes on where it was.

    tl2cgen_make.py MODEL_FOLDER
"""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tl2cgen
import treelite

FILES = 24


def read(folder, about):
    file = folder / about["file"]
    match about["library"]:
        case "sklearn":
            import joblib

            return treelite.sklearn.import_model(joblib.load(file))
        case "xgboost":
            return treelite.frontend.load_xgboost_model(str(file))
        case "lightgbm":
            return treelite.frontend.load_lightgbm_model(str(file))
        case library:
            raise SystemExit(f"treelite reads no model of {library}")


def compile_one(source):
    target, unfinished = source.with_suffix(".o"), source.with_suffix(".unfinished")
    if not target.exists():
        subprocess.run(["cc", "-O3", "-fPIC", "-w", "-c", source, "-o", unfinished], check=True)
        unfinished.rename(target)
    return target


def main():
    folder = Path(sys.argv[1])
    made = folder / "tl2cgen"
    if not made.exists():
        unfinished = folder / "tl2cgen.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        model = read(folder, json.loads((folder / "about.json").read_text()))
        tl2cgen.generate_c_code(model, dirpath=unfinished, params={"parallel_comp": FILES}, verbose=False)
        unfinished.rename(made)
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sorted(made.glob("*.c"))))
    unfinished = made / "unfinished.so"
    subprocess.run(["cc", "-shared", *objects, "-lm", "-o", unfinished], check=True)
    unfinished.rename(folder / "tl2cgen.so")


if __name__ == "__main__":
    main()
