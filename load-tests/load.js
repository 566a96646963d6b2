// A usual day in two minutes: single predictions, batches of 100 rows, and somebody who signs in now and then.

import { FLAWLESS, bearer, dropKey, makeKey, predictBatch, predictOne, signIn } from "./lib.js";

const duration = __ENV.DURATION || "2m";

export const options = {
  scenarios: {
    one: { executor: "constant-arrival-rate", exec: "one", rate: 300, duration, preAllocatedVUs: 20, maxVUs: 100 },
    batch: { executor: "constant-arrival-rate", exec: "batch", rate: 20, duration, preAllocatedVUs: 10, maxVUs: 50 },
    // Five a minute from one address are let in; one of them was the setup's, one will be the teardown's.
    token: {
      executor: "constant-arrival-rate", exec: "token", rate: 3, timeUnit: "1m", duration, preAllocatedVUs: 1, maxVUs: 3,
    },
  },
  thresholds: {
    ...FLAWLESS,
    dropped_iterations: ["count==0"],
    "http_req_duration{name:predict}": ["p(95)<50", "p(99)<150"],
    "http_req_duration{name:batch}": ["p(95)<100", "p(99)<250"],
    "http_req_duration{name:token}": ["p(95)<1500"],
  },
};

export const setup = makeKey;
export const teardown = dropKey;

export const one = (key) => predictOne(key.credential);
export const batch = (key) => predictBatch(key.credential, 100);

export function token() {
  const fresh = signIn();
  if (fresh) {
    predictOne(bearer(fresh));
  }
}
