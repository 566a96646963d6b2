// The typed operations of the generated TypeScript client against a running server, which has the models `iris` and
// `awkward`. Run by `cargo xtask test`.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./generated/schema.js";

type Schemas = components["schemas"];
type Json = "application/json" | "application/problem+json";

const SETOSA: Schemas["IrisRow"] = { sepal_length: 5.1, sepal_width: 3.5, petal_length: 1.4, petal_width: 0.2 };
const VIRGINICA: Schemas["IrisRow"] = { sepal_length: 6.7, sepal_width: 3.0, petal_length: 5.2, petal_width: 2.3 };

function required(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

let client: Client<paths, Json>;

before(async () => {
  const baseUrl = required("BASE_URL");
  const { data, error } = await createClient<paths, Json>({ baseUrl }).POST("/token", {
    body: { grant_type: "password", username: "admin", password: required("ADMIN_PASSWORD") },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  });
  assert.ok(data, JSON.stringify(error));
  client = createClient<paths, Json>({ baseUrl, headers: { Authorization: `Bearer ${data.access_token}` } });
});

test("a row has a member for each feature", async () => {
  const { data, error } = await client.POST("/v1/models/iris/predict", { body: SETOSA });
  assert.ok(data, JSON.stringify(error));
  const label: "setosa" | "versicolor" | "virginica" = data.label;
  assert.equal(label, "setosa");
  const probability: number = data.probabilities.setosa;
  assert.equal(probability, 1);
  const prediction: 0 | 1 | 2 = data.prediction;
  assert.equal(prediction, 0);
});

test("rows are answered in order", async () => {
  const { data, error } = await client.POST("/v1/models/iris/predict/rows", { body: { rows: [VIRGINICA, SETOSA] } });
  assert.ok(data, JSON.stringify(error));
  assert.deepEqual(data.predictions.map((one) => one.label), ["virginica", "setosa"]);
});

test("names that are no identifiers are the document's", async () => {
  const row: Schemas["AwkwardRow"] = { "1st": 30, "sepal length (cm)": null, class: "new york", "sepal-length (cm)": 20 };
  const { data, error } = await client.POST("/v1/models/awkward/predict", { body: row });
  assert.ok(data, JSON.stringify(error));
  const { "low-risk": first, low_risk: second, é: third } = data.probabilities;
  assert.ok(Math.abs(first + second + third - 1) < 1e-5);
});

test("what is no feature or category is seen by the compiler, and refused", async () => {
  // @ts-expect-error A feature is missing.
  const fewer: Schemas["IrisRow"] = { sepal_length: 5.1, sepal_width: 3.5, petal_length: 1.4 };
  // @ts-expect-error No such city.
  const venice: Schemas["AwkwardRow"] = { "1st": 30, "sepal length (cm)": null, class: "venice", "sepal-length (cm)": 20 };
  const refused = await client.POST("/v1/models/iris/predict", { body: fewer });
  assert.equal(refused.error?.errors?.[0]?.pointer, "/petal_width");
  const unknown = await client.POST("/v1/models/awkward/predict", { body: venice });
  assert.equal(unknown.error?.errors?.[0]?.pointer, "/class");
});
