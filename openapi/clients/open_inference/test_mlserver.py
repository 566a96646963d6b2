"""MLServer's codecs, as its documentation sends and reads them, against a running server. Run by `cargo xtask test`."""

import unittest

import numpy
import pandas
import requests
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, Parameters, RequestOutput

import server


class CodecsTest(unittest.TestCase):
    model = "mlserver"

    @classmethod
    def setUpClass(cls):
        cls.headers = server.sign_in()
        cls.rows, cls.predictions = server.add_categorical(cls.headers, cls.model)

    def infer(self, model, request):
        url = f"{server.URL}/v2/models/{model}/infer"
        answer = requests.post(url, json=request.model_dump(), headers=self.headers, verify=server.CA)
        self.assertEqual(answer.status_code, 200, answer.text)
        return InferenceResponse.model_validate_json(answer.text)

    def test_a_matrix(self):
        for dtype in (numpy.float32, numpy.float64):
            request = NumpyRequestCodec.encode_request(numpy.array(server.IRIS, dtype=dtype))
            answer = self.infer("iris", request)
            self.assertEqual(NumpyRequestCodec.decode_response(answer).tolist(), server.CLASSES)
            request.outputs = [RequestOutput(name="predict_proba")]
            probabilities = NumpyRequestCodec.decode_response(self.infer("iris", request))
            self.assertEqual(probabilities.argmax(axis=1).tolist(), server.CLASSES)

    def test_an_input_by_a_name_of_its_own(self):
        tensor = NumpyCodec.encode_input(name="islands", payload=numpy.array(server.IRIS))
        outputs = [RequestOutput(name="predict"), RequestOutput(name="label")]
        answer = self.infer("iris", InferenceRequest(id="7", inputs=[tensor], outputs=outputs))
        self.assertEqual((answer.id, answer.model_name, answer.model_version), ("7", "iris", "1"))
        self.assertEqual(NumpyCodec.decode_output(answer.outputs[0]).tolist(), server.CLASSES)
        self.assertEqual(StringCodec.decode_output(answer.outputs[1]), server.LABELS)

    def test_a_data_frame(self):
        frame = pandas.DataFrame(self.rows)
        self.assertTrue(frame["age"].isna().any())
        request = PandasCodec.encode_request(frame, use_bytes=False)
        answer = self.infer(self.model, request)
        decoded = PandasCodec.decode_response(answer)
        self.assertEqual(decoded["prediction"].tolist(), self.predictions)

    def test_texts_and_numbers_in_one_request(self):
        def column(name):
            values = [row[name] for row in self.rows]
            if isinstance(values[0], str):
                return StringCodec.encode_input(name=name, payload=values, use_bytes=False)
            return NumpyCodec.encode_input(name=name, payload=numpy.array(values, dtype=numpy.float64))

        inputs = [column(name) for name in self.rows[0]]
        answer = self.infer(self.model, InferenceRequest(inputs=inputs))
        self.assertEqual(NumpyCodec.decode_output(answer.outputs[0]).tolist(), self.predictions)

    def test_what_is_wrong_is_told(self):
        request = PandasCodec.encode_request(pandas.DataFrame(self.rows).drop(columns="city"), use_bytes=False)
        url = f"{server.URL}/v2/models/{self.model}/infer"
        answer = requests.post(url, json=request.model_dump(), headers=self.headers, verify=server.CA)
        self.assertEqual(answer.status_code, 422)
        self.assertIn("has no input 'city'", answer.json()["error"])
        parameters = Parameters(content_type="np")
        two = InferenceRequest(parameters=parameters, inputs=request.inputs[:2])
        answer = requests.post(url, json=two.model_dump(), headers=self.headers, verify=server.CA)
        self.assertIn("the first input is the matrix", answer.json()["error"])


if __name__ == "__main__":
    unittest.main()
