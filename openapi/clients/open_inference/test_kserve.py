"""KServe's own client, over REST (V1 and V2) and gRPC, against a running server. Run by `cargo xtask test`."""

import unittest

import httpx
import numpy
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

import server


def matrix(datatype, dtype, binary):
    values = numpy.array(server.IRIS, dtype=dtype)
    tensor = InferInput("input-0", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return tensor


def columns(rows, binary):
    """Each feature by its name, the categories as BYTES."""
    tensors = []
    for name, first in rows[0].items():
        texts = isinstance(first, str)
        column = [row[name] for row in rows]
        if texts:
            values = numpy.array([text.encode() for text in column], dtype=numpy.object_)
        else:
            values = numpy.array([numpy.nan if value is None else value for value in column], dtype=numpy.float64)
        tensor = InferInput(name, [len(rows), 1], "BYTES" if texts else "FP64")
        tensor.set_data_from_numpy(values.reshape(-1, 1), binary_data=binary)
        tensors.append(tensor)
    return tensors


class RestTest(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.headers = server.sign_in()
        cls.rows, cls.predictions = server.add_categorical(cls.headers, "kserve-rest")

    async def asyncSetUp(self):
        self.client = InferenceRESTClient(RESTConfig(protocol="v2", verify=server.TLS))
        self.addAsyncCleanup(self.client.close)

    async def infer(self, model, inputs, **more):
        request = InferRequest(model_name=model, infer_inputs=inputs, **more)
        return await self.client.infer(server.URL, request, model_name=model, headers=dict(self.headers))

    async def test_the_server_lives_and_is_ready(self):
        self.assertTrue(await self.client.is_server_live(server.URL))
        self.assertTrue(await self.client.is_server_ready(server.URL))
        self.assertTrue(await self.client.is_model_ready(server.URL, "iris", headers=self.headers))
        self.assertFalse(await self.client.is_model_ready(server.URL, "not-there", headers=self.headers))

    async def test_a_matrix_in_json_and_binary(self):
        for datatype, dtype in (("FP32", numpy.float32), ("FP64", numpy.float64)):
            for binary in (False, True):
                parameters = {"binary_data_output": binary}
                tensors = [matrix(datatype, dtype, binary)]
                answer = await self.infer("iris", tensors, request_id="7", parameters=parameters)
                self.assertEqual((answer.id, answer.model_name), ("7", "iris"))
                self.assertEqual(answer.outputs[0].as_numpy().tolist(), server.CLASSES)
                self.assertEqual(answer.outputs[1].as_numpy().argmax(axis=1).tolist(), server.CLASSES)

    async def test_outputs_by_name(self):
        outputs = [RequestedOutput("predict"), RequestedOutput("label", {"binary_data": True})]
        answer = await self.infer("iris", [matrix("FP32", numpy.float32, True)], request_outputs=outputs)
        self.assertEqual([output.name for output in answer.outputs], ["predict", "label"])
        labels = [label.decode() if isinstance(label, bytes) else label for label in answer.outputs[1].as_numpy()]
        self.assertEqual(labels, server.LABELS)

    async def test_categories(self):
        answer = await self.infer("kserve-rest", columns(self.rows, True))
        self.assertEqual(answer.outputs[0].as_numpy().tolist(), self.predictions)

    async def test_what_is_wrong_is_told(self):
        with self.assertRaises(httpx.HTTPStatusError) as raised:
            await self.infer("iris", [InferInput("input-0", [1, 3], "FP32", data=[1.0, 2.0, 3.0])])
        self.assertEqual(raised.exception.response.status_code, 422)
        self.assertIn("/inputs/0/shape", str(raised.exception))
        with self.assertRaisesRegex(httpx.HTTPStatusError, "there is no such model"):
            await self.infer("not-there", [matrix("FP32", numpy.float32, False)])

    async def test_v1(self):
        client = InferenceRESTClient(RESTConfig(protocol="v1", verify=server.TLS))
        self.addAsyncCleanup(client.close)
        self.assertTrue(await client.is_model_ready(server.URL, "iris", headers=self.headers))
        body = {"instances": server.IRIS}
        answer = await client.infer(server.URL, body, model_name="iris", headers=self.headers)
        self.assertEqual(answer, {"predictions": server.CLASSES})
        answer = await client.infer(server.URL, {"instances": self.rows}, "kserve-rest", headers=self.headers)
        self.assertEqual(answer, {"predictions": self.predictions})


class GrpcTest(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        headers = server.sign_in()
        cls.headers = [(name.lower(), value) for name, value in headers.items()]
        cls.rows, cls.predictions = server.add_categorical(headers, "kserve-grpc")

    async def asyncSetUp(self):
        self.client = InferenceGRPCClient(server.ADDRESS, use_ssl=True, root_certificates=server.CA)
        self.addAsyncCleanup(self.client.close)

    async def infer(self, model, inputs):
        request = InferRequest(model_name=model, infer_inputs=inputs, request_id="7")
        return await self.client.infer(request, headers=self.headers)

    async def test_the_server_lives_and_is_ready(self):
        self.assertTrue(await self.client.is_server_live())
        self.assertTrue(await self.client.is_server_ready())
        self.assertTrue(await self.client.is_model_ready("iris", headers=self.headers))

    async def test_a_matrix(self):
        for datatype, dtype in (("FP32", numpy.float32), ("FP64", numpy.float64)):
            for binary in (False, True):
                answer = await self.infer("iris", [matrix(datatype, dtype, binary)])
                self.assertEqual(answer.outputs[0].as_numpy().tolist(), server.CLASSES)

    async def test_categories(self):
        answer = await self.infer("kserve-grpc", columns(self.rows, True))
        self.assertEqual(answer.outputs[0].as_numpy().tolist(), self.predictions)


if __name__ == "__main__":
    unittest.main()
