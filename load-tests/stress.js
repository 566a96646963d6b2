// More and more, until far over what is usual, then as before. Under too much the server may refuse (429, 503), in form and
// soon; it may not fail, answer wrongly, or be slower afterwards.

import http from "k6/http";

import { dropKey, makeKey, predictBatch, predictOne } from "./lib.js";

http.setResponseCallback(http.expectedStatuses({ min: 200, max: 204 }, 429, 503));

const peak = Number(__ENV.PEAK || 3000);

export const options = {
  scenarios: {
    rising: {
      executor: "ramping-arrival-rate", exec: "mixed", startRate: 100, preAllocatedVUs: 200, maxVUs: 1000,
      stages: [
        { target: peak / 4, duration: "30s" },
        { target: peak / 2, duration: "30s" },
        { target: peak, duration: "30s" },
        { target: peak, duration: "60s" },
        { target: 100, duration: "15s" },
      ],
      gracefulStop: "15s",
    },
    after: {
      executor: "constant-arrival-rate", exec: "one", rate: 100, duration: "30s", startTime: "180s", preAllocatedVUs: 20,
    },
  },
  thresholds: {
    checks: ["rate==1"],
    http_req_failed: ["rate==0"],
    "http_req_duration{scenario:rising}": ["p(99)<5000"],
    "http_req_duration{scenario:after}": ["p(95)<50"],
    "checks{scenario:after}": ["rate==1"],
  },
};

export const setup = makeKey;
export const teardown = dropKey;

export const one = (key) => predictOne(key.credential);

export function mixed(key) {
  if (Math.random() < 0.05) {
    predictBatch(key.credential, 100, { refusable: true });
  } else {
    predictOne(key.credential, { refusable: true });
  }
}
