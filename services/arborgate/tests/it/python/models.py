"""Fits models with the installed scikit-learn and writes, into the folder given, for each:

  NAME.joblib     the model as joblib.dump writes it
  NAME.txt        for each row a line: its features; the class or value; the probabilities, in the shortest decimal that
                  reads back to the same bits, by spaces, with the three lists separated by '|'

A missing value is `nan`. The rows of `near` are at the very edge of the tree's thresholds.
"""

import pathlib
import pickle
import struct
import sys
import zlib

import joblib
import numpy
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

folder = pathlib.Path(sys.argv[1])


def text(values):
    return " ".join(repr(float(value)) for value in values)


def write(name, model, rows):
    joblib.dump(model, folder / f"{name}.joblib")
    predicted = model.predict(rows)
    probabilities = model.predict_proba(rows) if hasattr(model, "predict_proba") else [[]] * len(rows)
    lines = [
        f"{text(row)}|{text(numpy.atleast_1d(p))}|{text(of)}" for row, p, of in zip(rows, predicted, probabilities)
    ]
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


for name, load in {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}.items():
    X, y = load(return_X_y=True)
    write(name, RandomForestClassifier(random_state=1).fit(X, y), X)

X, y = load_iris(return_X_y=True)
write("iris_other", RandomForestClassifier(n_estimators=10, max_depth=2, random_state=7).fit(X, y), X)

X, y = load_diabetes(return_X_y=True)
write("regressor", RandomForestRegressor(n_estimators=30, random_state=1).fit(X, y), X)
write("two_values", RandomForestRegressor(n_estimators=5, random_state=1).fit(X, numpy.column_stack([y, -2 * y])), X[:50])
X, y = load_wine(return_X_y=True)
write("extra_trees", ExtraTreesClassifier(n_estimators=30, random_state=1).fit(X, y), X)

X, y = load_wine(return_X_y=True)
X[numpy.random.default_rng(1).random(X.shape) < 0.2] = numpy.nan
write("gaps", RandomForestClassifier(n_estimators=30, random_state=1).fit(X, y), X)

X, y = load_iris(return_X_y=True)
write("no_missing", ExtraTreeClassifier(splitter="best", random_state=1).fit(X, y), X)

# A row's numbers become 32-bit floats: one unit in the last place of a 64-bit one decides which, at half way.
random = numpy.random.default_rng(1)
X = random.normal(size=(400, 1))
near = DecisionTreeClassifier(random_state=1).fit(X, (X[:, 0] * 100 // 1 % 2).astype(int))
thresholds = near.tree_.threshold[near.tree_.feature >= 0]
rows = []
for threshold in thresholds:
    below = numpy.float32(threshold)
    if below > threshold:
        below = numpy.nextafter(below, numpy.float32(-numpy.inf))
    above = numpy.nextafter(below, numpy.float32(numpy.inf))
    middle = (float(below) + float(above)) / 2
    rows += [[numpy.nextafter(middle, -numpy.inf)], [middle], [numpy.nextafter(middle, numpy.inf)], [threshold]]
write("near", near, numpy.array(rows))

# What is no model.
(folder / "system.pkl").write_bytes(b"cposix\nsystem\n(S'echo this ran > %s'\ntR." % bytes(folder / "ran"))
(folder / "reduce.joblib").write_bytes(
    b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."
)
iris = (folder / "iris.joblib").read_bytes()
(folder / "truncated.joblib").write_bytes(iris[: len(iris) // 2])
(folder / "empty.joblib").write_bytes(b"")
(folder / "xgboost.json").write_text('{"learner":{"gradient_booster":{"model":{"trees":[]}}},"version":[2,1,0]}')
(folder / "dict.pkl").write_bytes(pickle.dumps({"a": [1, 2, 3]}))
# A little that unpacks to two gigabytes of one bytes object.
packer, parts = zlib.compressobj(9), []
size = 2 << 30
parts.append(packer.compress(b"\x80\x04\x8e" + struct.pack("<Q", size)))
zeros = bytes(16 << 20)
for _ in range(size // len(zeros)):
    parts.append(packer.compress(zeros))
parts += [packer.compress(b"."), packer.flush()]
(folder / "bomb.joblib").write_bytes(b"".join(parts))
