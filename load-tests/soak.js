// For long, at a usual rate: what leaks or grows shows here. `DURATION` shortens it.

import { FLAWLESS, bearer, dropKey, makeKey, predictBatch, predictOne, signIn } from "./lib.js";

const duration = __ENV.DURATION || "30m";

export const options = {
  scenarios: {
    one: { executor: "constant-arrival-rate", exec: "one", rate: 100, duration, preAllocatedVUs: 20, maxVUs: 100 },
    batch: { executor: "constant-arrival-rate", exec: "batch", rate: 5, duration, preAllocatedVUs: 5, maxVUs: 50 },
    token: {
      executor: "constant-arrival-rate", exec: "token", rate: 3, timeUnit: "1m", duration, preAllocatedVUs: 1, maxVUs: 3,
    },
  },
  thresholds: {
    ...FLAWLESS,
    dropped_iterations: ["count==0"],
    "http_req_duration{name:predict}": ["p(99)<150"],
    "http_req_duration{name:batch}": ["p(99)<250"],
    "http_req_duration{name:token}": ["p(95)<1500"],
  },
};

export const setup = makeKey;
export const teardown = dropKey;

export const one = (key) => predictOne(key.credential);
export const batch = (key) => predictBatch(key.credential, 1000);

export function token() {
  const fresh = signIn();
  if (fresh) {
    predictOne(bearer(fresh));
  }
}
