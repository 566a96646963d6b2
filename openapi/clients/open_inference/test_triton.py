"""tritonclient, over HTTP and gRPC, against a running server. Run by `cargo xtask test`."""

import time
import unittest

import numpy
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

import server


class Calls:
    """What both clients have alike."""

    model = "triton"

    @classmethod
    def setUpClass(cls):
        cls.headers = server.sign_in()
        cls.rows, cls.predictions = server.add_categorical(cls.headers, cls.model)
        # Another one, for the order of tests is not to matter.
        cls.other = cls.model + "-other"
        server.add_categorical(cls.headers, cls.other)
        cls.connect()

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def matrix(self, datatype, dtype, **how):
        values = numpy.array(server.IRIS, dtype=dtype)
        tensor = self.library.InferInput("input__0", list(values.shape), datatype)
        tensor.set_data_from_numpy(values, **how)
        return tensor

    def columns(self, **how):
        """Each feature by its name, the categories as BYTES."""
        tensors = []
        for described in self.inputs():
            name, datatype = described["name"], described["datatype"]
            column = [row[name] for row in self.rows]
            if datatype == "BYTES":
                values = numpy.array([text.encode() for text in column], dtype=numpy.object_)
            else:
                values = numpy.array([numpy.nan if value is None else value for value in column])
                values = values.astype(numpy.float32 if datatype == "FP32" else numpy.float64)
            tensor = self.library.InferInput(name, [len(column), 1], datatype)
            tensor.set_data_from_numpy(values.reshape(-1, 1), **how)
            tensors.append(tensor)
        self.assertIn("BYTES", [tensor.datatype() for tensor in tensors])
        return tensors

    def infer(self, model, inputs, **more):
        return self.client.infer(model, inputs, headers=dict(self.headers), **more)

    def test_the_server_lives_and_is_ready(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        for version in ("", "1"):
            self.assertTrue(self.client.is_model_ready("iris", version, headers=self.headers))

    def test_single_and_double_precision(self):
        for datatype, dtype in (("FP32", numpy.float32), ("FP64", numpy.float64), ("FP16", numpy.float16)):
            answer = self.infer("iris", [self.matrix(datatype, dtype)], request_id="7")
            self.assertEqual(answer.as_numpy("prediction").tolist(), server.CLASSES)
            probabilities = answer.as_numpy("probabilities")
            self.assertEqual((probabilities.shape, probabilities.dtype), ((3, 3), numpy.float64))
            self.assertEqual(probabilities.argmax(axis=1).tolist(), server.CLASSES)

    def test_outputs_by_name(self):
        names = ("output__0", "predict_proba", "label", "margins", "leaves", "contributions")
        outputs = [self.library.InferRequestedOutput(name) for name in names]
        answer = self.infer("iris", [self.matrix("FP32", numpy.float32)], outputs=outputs)
        self.assertEqual(answer.as_numpy("output__0").tolist(), server.CLASSES)
        self.assertEqual([label.decode() for label in answer.as_numpy("label")], server.LABELS)
        self.assertEqual(answer.as_numpy("leaves").dtype, numpy.uint32)
        contributions, margins = answer.as_numpy("contributions"), answer.as_numpy("margins")
        self.assertEqual(contributions.shape, (3, 3, 5))
        numpy.testing.assert_allclose(contributions.sum(axis=2), margins, rtol=1e-9, atol=1e-9)

    def test_classification(self):
        output = self.library.InferRequestedOutput("probabilities", class_count=2)
        answer = self.infer("iris", [self.matrix("FP32", numpy.float32)], outputs=[output])
        first = answer.as_numpy("probabilities")[0][0].decode()
        self.assertEqual(first.split(":")[1:], ["0", "setosa"])

    def test_categories(self):
        answer = self.infer(self.model, self.columns())
        self.assertEqual(answer.as_numpy("prediction").tolist(), self.predictions)

    def ready_is(self, wanted):
        deadline = time.monotonic() + 30
        while self.client.is_model_ready(self.other, headers=self.headers) != wanted:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_a_model_is_unloaded_and_loaded(self):
        self.client.unload_model(self.other, headers=self.headers)
        self.ready_is(False)
        self.client.load_model(self.other, headers=self.headers)
        self.ready_is(True)
        with self.assertRaisesRegex(InferenceServerException, "/parameters"):
            self.client.load_model(self.other, headers=self.headers, config="{}")

    def test_statistics_count_what_was_asked(self):
        def count():
            stats = self.client.get_inference_statistics(self.model, "1", headers=self.headers)
            return self.counts(stats)

        before = count()
        self.infer(self.model, self.columns())
        self.assertEqual(count(), (before[0] + len(self.rows), before[1] + 1))

    def test_what_is_wrong_is_told(self):
        tensor = self.library.InferInput("input__0", [3, 3], "FP32")
        tensor.set_data_from_numpy(numpy.zeros((3, 3), dtype=numpy.float32))
        with self.assertRaisesRegex(InferenceServerException, r"/inputs/0/shape: must be \[N, 4\]"):
            self.infer("iris", [tensor])
        with self.assertRaisesRegex(InferenceServerException, "there is no such model"):
            self.infer("not-there", [self.matrix("FP32", numpy.float32)])
        with self.assertRaisesRegex(InferenceServerException, "no credential"):
            self.client.infer("iris", [self.matrix("FP32", numpy.float32)])


class HttpTest(Calls, unittest.TestCase):
    library = httpclient
    model = "triton-http"

    @classmethod
    def connect(cls):
        cls.client = httpclient.InferenceServerClient(
            server.ADDRESS, ssl=True, ssl_options={"ca_certs": server.CA}
        )

    def inputs(self):
        return self.client.get_model_metadata(self.model, headers=self.headers)["inputs"]

    @staticmethod
    def counts(stats):
        (one,) = stats["model_stats"]
        return one["inference_count"], one["inference_stats"]["success"]["count"]

    def test_metadata(self):
        self.assertIn("binary_tensor_data", self.client.get_server_metadata()["extensions"])
        metadata = self.client.get_model_metadata("iris", headers=self.headers)
        self.assertEqual(metadata["inputs"], [{"name": "input__0", "datatype": "FP32", "shape": [-1, 4]}])
        self.assertEqual(metadata["outputs"][0]["name"], "prediction")

    def test_json(self):
        output = httpclient.InferRequestedOutput("predict", binary_data=False)
        tensor = self.matrix("FP32", numpy.float32, binary_data=False)
        answer = self.infer("iris", [tensor], outputs=[output], request_id="7")
        self.assertEqual(answer.as_numpy("predict").tolist(), server.CLASSES)
        self.assertEqual(answer.get_response()["id"], "7")
        answer = self.infer(self.model, self.columns(binary_data=False), outputs=[output])
        self.assertEqual(answer.as_numpy("predict").tolist(), self.predictions)

    def test_packed(self):
        values = numpy.tile(numpy.array(server.IRIS, dtype=numpy.float32), (300, 1))
        tensor = httpclient.InferInput("input__0", list(values.shape), "FP32")
        tensor.set_data_from_numpy(values)
        for coding in ("gzip", "deflate"):
            answer = self.infer(
                "iris", [tensor], request_compression_algorithm=coding, response_compression_algorithm=coding
            )
            self.assertEqual(answer.as_numpy("prediction").tolist(), server.CLASSES * 300)

    def test_repository(self):
        index = self.client.get_model_repository_index(headers=self.headers)
        self.assertIn({"name": "iris", "version": "1", "state": "READY", "reason": ""}, index)


class GrpcTest(Calls, unittest.TestCase):
    library = grpcclient
    model = "triton-grpc"

    @classmethod
    def connect(cls):
        cls.headers = {name.lower(): value for name, value in cls.headers.items()}
        cls.client = grpcclient.InferenceServerClient(server.ADDRESS, ssl=True, root_certificates=server.CA)

    def inputs(self):
        return self.client.get_model_metadata(self.model, headers=self.headers, as_json=True)["inputs"]

    @staticmethod
    def counts(stats):
        (one,) = stats.model_stats
        return one.inference_count, one.inference_stats.success.count

    def test_metadata(self):
        self.assertEqual(self.client.get_server_metadata().name, "arborgate")
        metadata = self.client.get_model_metadata("iris", headers=self.headers)
        self.assertEqual((metadata.inputs[0].name, list(metadata.inputs[0].shape)), ("input__0", [-1, 4]))

    def test_packed(self):
        answer = self.infer("iris", [self.matrix("FP32", numpy.float32)], compression_algorithm="gzip")
        self.assertEqual(answer.as_numpy("prediction").tolist(), server.CLASSES)

    def test_repository(self):
        index = self.client.get_model_repository_index(headers=self.headers)
        self.assertIn(("iris", "1", "READY"), [(one.name, one.version, one.state) for one in index.models])


if __name__ == "__main__":
    unittest.main()
