"""The generated Python client against a running server.

`BASE_URL`, `CA_FILE` and `ADMIN_PASSWORD` say which. Run by `cargo xtask test`.
"""

import base64
import io
import os
import pathlib
import sys
import unittest

import joblib
from cryptography.fernet import Fernet, MultiFernet
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier

sys.path.insert(0, str(pathlib.Path(__file__).parent / "generated"))

import arborgate_client as arborgate  # noqa: E402

SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
TEXTS = ["", "plain", "naïve ☃ 𝄞", "x" * 100_000]


def connect(**credential):
    return arborgate.ApiClient(
        arborgate.Configuration(host=os.environ["BASE_URL"], ssl_ca_cert=os.environ["CA_FILE"], **credential)
    )


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        token = arborgate.TokenApi(connect()).token(username="admin", password=os.environ["ADMIN_PASSWORD"])
        assert token.token_type == "bearer" and token.expires_in > 0
        cls.client = connect(access_token=token.access_token)
        cls.predictions = arborgate.PredictionsApi(cls.client)
        cls.encryption = arborgate.EncryptionApi(cls.client)

    def refused(self, kind, call, *arguments, **named):
        """The problem that the server answers with."""
        with self.assertRaises(kind) as raised:
            call(*arguments, **named)
        problem = arborgate.Problem.from_json(raised.exception.body)
        self.assertEqual(problem.status, raised.exception.status)
        return problem

    def test_a_wrong_password_is_refused(self):
        sign_in = arborgate.TokenApi(connect()).token
        wrong = {"username": "admin", "password": "not the password"}
        problem = self.refused(arborgate.exceptions.UnauthorizedException, sign_in, **wrong)
        self.assertEqual(problem.detail, "Incorrect username or password")

    def test_no_credential_predicts_nothing(self):
        predict = arborgate.PredictionsApi(connect()).predict
        self.refused(arborgate.exceptions.UnauthorizedException, predict, SETOSA)

    def test_the_default_model_predicts(self):
        answer = self.predictions.predict(SETOSA)
        self.assertEqual((answer.prediction, answer.label, answer.model), (0, "setosa", "iris"))
        self.assertEqual(answer.probabilities, {"setosa": 1.0, "versicolor": 0.0, "virginica": 0.0})

    def test_each_bad_field_is_named(self):
        bad = {**SETOSA, "petal_width": "wide", "colour": 1.0}
        problem = self.refused(arborgate.exceptions.UnprocessableEntityException, self.predictions.predict, bad)
        self.assertEqual(len(problem.errors), 2)

    def test_rows_are_answered_in_order(self):
        rows = [[6.7, 3.0, 5.2, 2.3], list(SETOSA.values()), [6.0, 2.9, 4.5, 1.5]]
        answer = self.predictions.predict_model("iris", arborgate.RowsRequest(rows=rows))
        self.assertEqual([one["prediction"] for one in answer.predictions], [2, 0, 1])

    def test_a_model_is_added_predicts_as_in_python_and_is_removed(self):
        rows, classes = load_wine(return_X_y=True)
        model = RandomForestClassifier(n_estimators=20, random_state=0).fit(rows, classes)
        file = io.BytesIO()
        joblib.dump(model, file, compress=("zlib", 3))
        models = arborgate.ModelsApi(self.client)
        added = models.put_model_version(
            model="wine", version="1", body=file.getvalue(), classes="barolo,grignolino,barbera"
        )
        self.assertEqual((added.trees, len(added.features)), (20, rows.shape[1]))
        answer = self.predictions.predict_model("wine", arborgate.RowsRequest(rows=rows.tolist()))
        names = ["barolo", "grignolino", "barbera"]
        served = [[one["probabilities"][name] for name in names] for one in answer.predictions]
        self.assertEqual(served, model.predict_proba(rows).tolist())
        models.delete_model_version("wine", "1")
        self.refused(arborgate.exceptions.NotFoundException, models.get_model, "wine")

    def test_what_is_encrypted_is_decrypted(self):
        for text in TEXTS:
            sealed = self.encryption.encrypt(arborgate.Plaintext(plaintext=text))
            self.assertTrue(sealed.ciphertext.startswith("gAAAAA"))
            self.assertEqual(self.encryption.decrypt(sealed).plaintext, text)

    def test_a_changed_token_is_refused(self):
        token = bytearray(base64.urlsafe_b64decode(self.encryption.encrypt(arborgate.Plaintext(plaintext="x")).ciphertext))
        token[-1] ^= 1
        changed = arborgate.Ciphertext(ciphertext=base64.urlsafe_b64encode(bytes(token)).decode())
        problem = self.refused(arborgate.exceptions.BadRequestException, self.encryption.decrypt, changed)
        self.assertEqual(problem.detail, "Decryption failed")

    def test_cryptography_reads_and_writes_the_same_tokens(self):
        self.encryption.rotate_encryption_key()
        keys = self.encryption.export_encryption_keys()
        self.assertEqual([key.version for key in keys], sorted((key.version for key in keys), reverse=True))
        ring = MultiFernet([Fernet(key.key) for key in keys])
        for text in TEXTS:
            ours = self.encryption.encrypt(arborgate.Plaintext(plaintext=text)).ciphertext
            self.assertEqual(ring.decrypt(ours).decode(), text)
            self.assertEqual(Fernet(keys[0].key).decrypt(ours).decode(), text, "the newest key encrypts")
            for key in keys:
                theirs = arborgate.Ciphertext(ciphertext=Fernet(key.key).encrypt(text.encode()).decode())
                self.assertEqual(self.encryption.decrypt(theirs).plaintext, text)

    def test_an_api_key_predicts_until_it_is_revoked(self):
        accounts = arborgate.AccountsApi(self.client)
        made = accounts.create_api_key(arborgate.NewApiKey(name="test", roles=["predictor"], expires_in=600))
        by_key = connect(api_key={"api_key": made.secret})
        self.assertEqual(arborgate.PredictionsApi(by_key).predict(SETOSA).prediction, 0)
        seal = arborgate.EncryptionApi(by_key).encrypt
        problem = self.refused(arborgate.exceptions.ForbiddenException, seal, arborgate.Plaintext(plaintext="x"))
        self.assertEqual(problem.detail, "Operation not permitted")
        accounts.delete_api_key(made.key.id)
        self.assertNotIn(made.key.id, [key.id for key in accounts.list_api_keys()])
        self.refused(arborgate.exceptions.ForbiddenException, arborgate.PredictionsApi(by_key).predict, SETOSA)


if __name__ == "__main__":
    unittest.main(verbosity=2)
