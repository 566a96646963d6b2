// For long, at a usual rate: what leaks or grows shows here. `DURATION` shortens it.

import { FLAWLESS, dropKey, makeKey, predictAfterSignIn, predictBatch, predictOne, steady } from "./lib.js";

const duration = __ENV.DURATION || "30m";

export const options = {
  scenarios: steady(duration, { one: 100, batch: 5 }),
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
export const token = predictAfterSignIn;
