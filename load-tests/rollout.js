// Versions change under load: promoted, rolled back, split, shadowed, uploaded and removed, while 32 callers ask without a
// pause. No request may fail, and the shares that are seen are those that were asked for.

import http from "k6/http";
import exec from "k6/execution";
import { check, sleep } from "k6";
import { Counter } from "k6/metrics";

import { BASE_URL, FLAWLESS, asJson, bearer, dropKey, makeKey, named, signIn } from "./lib.js";

const MODEL = "rollout-load";
const PATH = `${BASE_URL}/v1/models/${MODEL}`;
const FILE = open("../services/arborgate/models/iris.joblib", "b");
const ROW = JSON.stringify({ rows: [[5.1, 3.5, 1.4, 0.2]] });
// How long each state is held.
const STEP = Number(__ENV.STEP || 5);

const seen = new Counter("answers");
const VERSIONS = ["1", "2", "3"];
const PHASES = ["one", "two", "split", "back", "uploaded", "shadow"];

// Shown in the summary: how many answers each version gave in each phase.
const shares = {};
for (const phase of PHASES) {
  for (const version of VERSIONS) {
    shares[`answers{phase:${phase},version:${version}}`] = ["count>=0"];
  }
}

export const options = {
  scenarios: {
    callers: { executor: "constant-vus", exec: "caller", vus: 32, duration: `${7 * STEP}s`, gracefulStop: "5s" },
    operator: { executor: "per-vu-iterations", exec: "operator", vus: 1, iterations: 1, maxDuration: `${8 * STEP}s` },
  },
  thresholds: { ...FLAWLESS, ...shares },
};

function operate(token, method, path, body, right) {
  const params = named(`operator ${method}`, asJson(bearer(token)));
  const answer = http.request(method, `${PATH}${path}`, body ? JSON.stringify(body) : null, params);
  check(answer, { [`${method} ${path}`]: (r) => right.includes(r.status) }) || console.error(answer.status, answer.body);
  return answer;
}

function upload(token, version, promote) {
  const params = named("operator upload", { "Content-Type": "application/octet-stream", ...bearer(token) });
  const answer = http.put(`${PATH}/versions/${version}?promote=${promote}`, FILE, params);
  check(answer, { [`upload ${version}`]: (r) => r.status === 201 }) || console.error(answer.status, answer.body);
}

export function setup() {
  const key = makeKey();
  upload(key.token, "1", true);
  upload(key.token, "2", false);
  // Every edge hears of it within a second.
  sleep(1);
  return { ...key, began: Date.now() };
}

export function caller({ credential, began }) {
  const answer = http.post(`${PATH}/predict`, ROW, named("predict", asJson(credential)));
  check(answer, { "predict: 200": (r) => r.status === 200 && r.json("predictions.0.prediction") === 0 });
  // An answer within a second of a change belongs to neither state.
  const at = (Date.now() - began) / 1000;
  const phase = PHASES[Math.floor(at / STEP)];
  if (answer.status === 200 && phase && at % STEP > 1) {
    seen.add(1, { phase, version: answer.json("version") });
  }
}

export function operator({ token, began }) {
  const until = (phase) => sleep(Math.max(0, PHASES.indexOf(phase) * STEP - (Date.now() - began) / 1000));
  until("two");
  operate(token, "POST", "/versions/2/promote", null, [200]);
  until("split");
  operate(token, "POST", "/versions/1/promote", null, [200]);
  operate(token, "PUT", "/split", { shares: [{ version: "2", percent: 25 }] }, [200]);
  until("back");
  operate(token, "POST", "/rollback", null, [200]);
  until("uploaded");
  upload(token, "3", true);
  operate(token, "DELETE", "/versions/1", null, [204]);
  until("shadow");
  operate(token, "PUT", "/shadow", { version: "2" }, [200]);
  sleep(STEP - 0.5);
  const shadow = operate(token, "GET", "", null, [200]).json("rollout.shadow");
  check(shadow, { "the shadow agrees": (s) => s.agreed > 0 && s.differed === 0 && s.failed === 0 });
  console.log(`shadow: ${JSON.stringify(shadow)}`);
}

function removeAll() {
  const token = signIn();
  http.del(`${PATH}/shadow`, null, named("operator end", bearer(token)));
  const model = http.get(PATH, named("operator end", bearer(token))).json();
  const last = (version) => version.version === model.current;
  for (const version of model.versions.sort((one, two) => last(one) - last(two))) {
    http.del(`${PATH}/versions/${version.version}`, null, named("operator end", bearer(token)));
  }
}

export function teardown(key) {
  removeAll();
  dropKey(key);
}
