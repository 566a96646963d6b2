"""Compiles a LightGBM model of the bench by lleaves, for engine `lleaves` of generated.c.

    lleaves_make.py MODEL_FOLDER
"""

import json
import subprocess
import sys
from pathlib import Path


def main():
    folder = Path(sys.argv[1])
    about = json.loads((folder / "about.json").read_text())
    if about["library"] != "lightgbm":
        raise SystemExit(f"lleaves reads no model of {about['library']}")
    import lleaves

    compiled = folder / "lleaves.o"
    compiled.unlink(missing_ok=True)
    lleaves.Model(model_file=str(folder / about["file"])).compile(cache=str(compiled), raw_score=False)
    unfinished = folder / "lleaves.unfinished.so"
    subprocess.run(["cc", "-shared", compiled, "-lm", "-o", unfinished], check=True)
    unfinished.rename(folder / "lleaves.so")


if __name__ == "__main__":
    main()
