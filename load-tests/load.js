// A usual day in two minutes: single predictions, batches of 100 rows, and somebody who signs in now and then.

import { FLAWLESS, dropKey, makeKey, predictAfterSignIn, predictBatch, predictOne, steady } from "./lib.js";

const duration = __ENV.DURATION || "2m";

export const options = {
  scenarios: steady(duration, { one: 300, batch: 20 }),
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
export const token = predictAfterSignIn;
