// Does all of it work: a few of each, in seconds.

import { FLAWLESS, bearer, dropKey, livez, makeKey, predictBatch, predictOne } from "./lib.js";

export const options = {
  vus: 2,
  iterations: 40,
  thresholds: {
    ...FLAWLESS,
    "http_req_duration{name:token}": ["max<5000"],
    "http_req_duration{name:predict}": ["p(95)<500"],
    "http_req_duration{name:batch}": ["p(95)<1000"],
  },
};

export const setup = makeKey;
export const teardown = dropKey;

export default function (key) {
  livez();
  predictOne(bearer(key.token));
  predictOne(key.credential);
  predictBatch(key.credential, 100);
}
