// What the scripts share: signing in, one prediction, a batch, each checked for the right answer and not only for its status.

import http from "k6/http";
import exec from "k6/execution";
import { check } from "k6";

export const BASE_URL = (__ENV.BASE_URL || "https://localhost:8443").replace(/\/$/, "");
const USERNAME = __ENV.ADMIN_USER || "admin";
const PASSWORD = __ENV.ADMIN_PASSWORD;

// Rows of iris and the class of each.
const ROWS = [
  [5.1, 3.5, 1.4, 0.2],
  [6.0, 2.9, 4.5, 1.5],
  [6.7, 3.0, 5.2, 2.3],
];
const CLASSES = [0, 1, 2];
const FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"];

const ONE = ROWS.map((row) => JSON.stringify(Object.fromEntries(row.map((value, at) => [FEATURES[at], value]))));

// Requests of one kind are told apart by their name.
export const named = (name, headers) => ({ headers, tags: { name } });
export const asJson = (credential) => ({ "Content-Type": "application/json", ...credential });

// Every request must succeed and every answer be right.
export const FLAWLESS = { checks: ["rate==1"], http_req_failed: ["rate==0"] };

export function bearer(token) {
  return { Authorization: `Bearer ${token}` };
}

export function signIn() {
  const form = { grant_type: "password", username: USERNAME, password: PASSWORD };
  const answer = http.post(`${BASE_URL}/token`, form, named("token"));
  const good = check(answer, {
    "token: 200": (r) => r.status === 200,
    "token: a bearer token": (r) => r.status === 200 && r.json("token_type") === "bearer" && r.json("expires_in") > 0,
  });
  return good ? answer.json("access_token") : undefined;
}

// Before the load: an API key that may predict. It outlives an access token and costs no further signing in.
export function makeKey() {
  if (!PASSWORD) {
    exec.test.abort("ADMIN_PASSWORD is not set");
  }
  const token = signIn();
  if (!token) {
    exec.test.abort(`can not sign in at ${BASE_URL}`);
  }
  const body = JSON.stringify({ name: "load test", roles: ["predictor"], expires_in: 7200 });
  const answer = http.post(`${BASE_URL}/v1/api-keys`, body, named("create_api_key", asJson(bearer(token))));
  if (!check(answer, { "api key: 201": (r) => r.status === 201 })) {
    exec.test.abort(`can not make an API key: ${answer.status} ${answer.body}`);
  }
  return { token, id: answer.json("key.id"), credential: { "X-API-Key": answer.json("secret") } };
}

// After it.
export function dropKey(key) {
  const answer = http.del(`${BASE_URL}/v1/api-keys/${key.id}`, null, named("delete_api_key", bearer(signIn())));
  check(answer, { "api key: gone": (r) => r.status === 204 });
}

// A refusal under more load than there is room for is an answer too, where `refusable`.
function judge(answer, name, right, refusable) {
  if (refusable && (answer.status === 429 || answer.status === 503)) {
    return check(answer, { [`${name}: refused in form`]: (r) => r.json("detail") !== undefined });
  }
  return check(answer, {
    [`${name}: 200`]: (r) => r.status === 200,
    [`${name}: the right answer`]: (r) => r.status === 200 && right(r),
  });
}

export function predictOne(credential, { refusable = false } = {}) {
  const at = exec.scenario.iterationInTest % ROWS.length;
  const answer = http.post(`${BASE_URL}/predict`, ONE[at], named("predict", asJson(credential)));
  return judge(answer, "predict", (r) => r.json("prediction") === CLASSES[at], refusable);
}

const batches = {};

export function predictBatch(credential, size, { refusable = false } = {}) {
  const rows = () => Array.from({ length: size }, (_, at) => ROWS[at % ROWS.length]);
  batches[size] = batches[size] || JSON.stringify({ rows: rows() });
  const answer = http.post(`${BASE_URL}/v1/models/iris/predict`, batches[size], named("batch", asJson(credential)));
  const inOrder = (predictions) =>
    predictions.length === size && predictions.every((p, at) => p.prediction === CLASSES[at % CLASSES.length]);
  return judge(answer, "batch", (r) => inOrder(r.json("predictions")), refusable);
}

export function livez() {
  check(http.get(`${BASE_URL}/livez`, named("livez")), { "livez: 200": (r) => r.status === 200 });
}

// A steady rate of each kind for so long, and nothing left undone. Of signing in five a minute from one address are let in;
// one of them was the setup's, one will be the teardown's.
export function steady(duration, { one, batch }) {
  const at = (exec, rate, preAllocatedVUs, more) =>
    ({ executor: "constant-arrival-rate", exec, rate, duration, preAllocatedVUs, maxVUs: 5 * preAllocatedVUs, ...more });
  return {
    one: at("one", one, 20),
    batch: at("batch", batch, 10),
    token: at("token", 3, 1, { timeUnit: "1m" }),
  };
}

// With a token that is fresh.
export function predictAfterSignIn() {
  const fresh = signIn();
  if (fresh) {
    predictOne(bearer(fresh));
  }
}
