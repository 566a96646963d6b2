"""The typed operations of the generated Python client against a running server, which has the models `iris` and `awkward`.

`BASE_URL`, `CA_FILE` and `ADMIN_PASSWORD` say which. Checked by mypy and run by `cargo xtask test`.
"""

import os
import unittest

import arborgate_client as arborgate


def connect(access_token: str | None = None) -> arborgate.ApiClient:
    return arborgate.ApiClient(
        arborgate.Configuration(
            host=os.environ["BASE_URL"], ssl_ca_cert=os.environ["CA_FILE"], access_token=access_token
        )
    )


class TypedTest(unittest.TestCase):
    deployed: arborgate.DeployedApi

    @classmethod
    def setUpClass(cls) -> None:
        token = arborgate.TokenApi(connect()).token(username="admin", password=os.environ["ADMIN_PASSWORD"])
        cls.deployed = arborgate.DeployedApi(connect(token.access_token))

    def test_a_row_has_a_field_for_each_feature(self) -> None:
        row = arborgate.IrisRow(sepal_length=5.1, sepal_width=3.5, petal_length=1.4, petal_width=0.2)
        answer = self.deployed.predict_iris(row)
        label: arborgate.IrisLabel = answer.label
        self.assertIs(label, arborgate.IrisLabel.Setosa)
        probability: float = answer.probabilities.setosa
        self.assertEqual(probability, 1.0)

    def test_rows_are_answered_in_order(self) -> None:
        virginica = arborgate.IrisRow(sepal_length=6.7, sepal_width=3.0, petal_length=5.2, petal_width=2.3)
        setosa = arborgate.IrisRow(sepal_length=5.1, sepal_width=3.5, petal_length=1.4, petal_width=0.2)
        answer = self.deployed.predict_iris_rows(arborgate.IrisRows(rows=[virginica, setosa]))
        labels = [one.label for one in answer.predictions]
        self.assertEqual(labels, [arborgate.IrisLabel.Virginica, arborgate.IrisLabel.Setosa])

    def test_names_that_are_no_identifiers_lead_to_their_features(self) -> None:
        row = arborgate.AwkwardRow(
            feature_1st=30,
            sepal_length_cm_f1=None,
            class_=arborgate.AwkwardClassValue.NewYork,
            sepal_length_cm_f3=arborgate.AwkwardSepalLengthCmF3Value.Category20,
        )
        self.assertEqual(
            row.to_dict(), {"1st": 30, "sepal length (cm)": None, "class": "new york", "sepal-length (cm)": 20}
        )
        answer = self.deployed.predict_awkward(row)
        self.assertIn(answer.label, list(arborgate.AwkwardLabel))
        told = answer.probabilities
        self.assertAlmostEqual(told.low_risk_f0 + told.low_risk_f1 + told.ue9, 1.0, places=5)

    def test_what_is_no_feature_or_category_is_refused_before_it_is_sent(self) -> None:
        # mypy sees both: it would complain of the comments if it did not.
        with self.assertRaises(ValueError):
            arborgate.IrisRow(sepal_length=5.1, sepal_width=3.5, petal_length=1.4)  # type: ignore[call-arg]
        with self.assertRaises(ValueError):
            arborgate.AwkwardRow(
                feature_1st=30,
                sepal_length_cm_f1=None,
                class_="venice",  # type: ignore[arg-type]
                sepal_length_cm_f3=None,
            )

    def test_the_example_of_the_document_is_taken(self) -> None:
        names = {"1st": 55.2, "sepal length (cm)": 6410, "class": "berlin", "sepal-length (cm)": 10}
        row = arborgate.AwkwardRow.from_dict(names)
        assert row is not None
        self.assertEqual(self.deployed.predict_awkward(row).version, "1")


if __name__ == "__main__":
    unittest.main(verbosity=2)
