"""Makes iris.joblib, the demonstration model.

Run with the versions that made the committed file (Python 3.11):
    pip install scikit-learn==1.9.1 joblib==1.6.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
    python make_iris.py

Class ids are 0, 1, 2; their names (setosa, versicolor, virginica) stand in the manifest beside the model.
"""

import pathlib

import joblib
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]

if __name__ == "__main__":
    iris = load_iris(as_frame=True)
    rows = iris.data.set_axis(FEATURES, axis="columns")
    model = RandomForestClassifier(n_estimators=100, random_state=0).fit(rows, iris.target)
    example = rows.iloc[:1].assign(sepal_length=5.1, sepal_width=3.5, petal_length=1.4, petal_width=0.2)
    assert model.predict(example)[0] == 0
    joblib.dump(model, pathlib.Path(__file__).with_name("iris.joblib"), compress=("zlib", 9))
