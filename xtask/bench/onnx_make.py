"""Converts a model of the bench to model.onnx, as its users would. `onnx_make.py MODEL_FOLDER`"""

import json
import sys
from pathlib import Path


def converted(folder, about):
    file, columns = folder / about["file"], about["columns"]
    if about["library"] == "sklearn":
        import joblib
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType

        model = joblib.load(file)
        return to_onnx(model, initial_types=[("x", FloatTensorType([None, columns]))], options={"zipmap": False})
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("x", FloatTensorType([None, columns]))]
    if about["library"] == "xgboost":
        import xgboost

        return onnxmltools.convert_xgboost(xgboost.Booster(model_file=file), initial_types=types)
    import lightgbm

    return onnxmltools.convert_lightgbm(lightgbm.Booster(model_file=file), initial_types=types, zipmap=False)


def main():
    folder = Path(sys.argv[1])
    about = json.loads((folder / "about.json").read_text())
    target = folder / "model.onnx"
    if about["library"] == "catboost":
        import catboost

        model = catboost.CatBoost()
        model.load_model(str(folder / "model.cbm"))
        model.save_model(str(folder / "unfinished.onnx"), format="onnx")
    else:
        (folder / "unfinished.onnx").write_bytes(converted(folder, about).SerializeToString())
    (folder / "unfinished.onnx").rename(target)


if __name__ == "__main__":
    main()
