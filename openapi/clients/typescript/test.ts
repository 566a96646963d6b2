// The generated TypeScript client against a running server: BASE_URL and ADMIN_PASSWORD say which, NODE_EXTRA_CA_CERTS its
// authority. Run by `cargo xtask test`.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./generated/schema.js";

type Prediction = components["schemas"]["Prediction"];
// Answers may be tables as well; this client asks for none.
type Json = "application/json" | "application/problem+json";

const SETOSA = { sepal_length: 5.1, sepal_width: 3.5, petal_length: 1.4, petal_width: 0.2 };

function required(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

function connect(headers: Record<string, string> = {}): Client<paths, Json> {
  return createClient<paths, Json>({ baseUrl: required("BASE_URL"), headers });
}

let client: Client<paths, Json>;

before(async () => {
  const { data, error } = await connect().POST("/token", {
    body: { grant_type: "password", username: "admin", password: required("ADMIN_PASSWORD") },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  });
  assert.ok(data, JSON.stringify(error));
  assert.equal(data.token_type, "bearer");
  client = connect({ Authorization: `Bearer ${data.access_token}` });
});

test("no credential predicts nothing", async () => {
  const { data, error, response } = await connect().POST("/predict", { body: SETOSA });
  assert.equal(data, undefined);
  assert.equal(response.status, 401);
  assert.equal(response.headers.get("www-authenticate")?.split(" ")[0], "Bearer");
  assert.equal(error?.status, 401);
});

test("the default model predicts", async () => {
  const { data, error } = await client.POST("/predict", { body: SETOSA });
  assert.ok(data, JSON.stringify(error));
  const prediction: Prediction = data;
  assert.equal(prediction.prediction, 0);
  assert.equal(prediction.label, "setosa");
  assert.deepEqual(prediction.probabilities, { setosa: 1, versicolor: 0, virginica: 0 });
});

test("rows are answered in order", async () => {
  const { data, error } = await client.POST("/v1/models/{model}/predict", {
    params: { path: { model: "iris" } },
    body: { rows: [[6.7, 3.0, 5.2, 2.3], SETOSA, [6.0, 2.9, 4.5, 1.5]] },
  });
  assert.ok(data, JSON.stringify(error));
  const predictions = data.predictions as Prediction[];
  assert.deepEqual(predictions.map((one) => one.prediction), [2, 0, 1]);
});

test("each bad field is named", async () => {
  const { error, response } = await client.POST("/predict", { body: { ...SETOSA, petal_width: "wide", colour: 1 } });
  assert.equal(response.status, 422);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.equal(error?.errors?.length, 2);
});

test("models are listed", async () => {
  const { data, error } = await client.GET("/v1/models");
  assert.ok(data, JSON.stringify(error));
  const iris = data.find((model) => model.name === "iris");
  assert.ok(iris?.default);
  assert.deepEqual(iris.versions[0]?.features.map((feature) => feature.name), Object.keys(SETOSA));
});

test("what is encrypted is decrypted, and nothing else", async () => {
  for (const plaintext of ["", "plain", "naïve ☃ 𝄞", "x".repeat(100_000)]) {
    const sealed = await client.POST("/encrypt", { body: { plaintext } });
    assert.ok(sealed.data, JSON.stringify(sealed.error));
    assert.match(sealed.data.ciphertext, /^gAAAAA/);
    const opened = await client.POST("/decrypt", { body: sealed.data });
    assert.equal(opened.data?.plaintext, plaintext);
  }
  const { error, response } = await client.POST("/decrypt", { body: { ciphertext: "gAAAAAB" } });
  assert.equal(response.status, 400);
  assert.equal(error?.detail, "Decryption failed");
});
