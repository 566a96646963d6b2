"use strict";
// The document is read from the server, so that the page shows what is deployed; and again by whoever signs in or out, since
// models are shown to who may ask them.
const DOCUMENT = "/openapi.json";

/** The headers by which the page is signed in. */
function credential(authorized) {
  const { bearer, api_key: key } = authorized.toJS();
  if (bearer) return { Authorization: `Bearer ${bearer.token.access_token}` };
  return key ? { "X-API-Key": key.value } : {};
}

let readings = 0;

async function read({ authSelectors, specActions, errActions }) {
  const reading = ++readings;
  try {
    const answer = await fetch(DOCUMENT, { headers: credential(authSelectors.authorized()) });
    const text = await answer.text();
    // Who signed in meanwhile is answered another one.
    if (reading !== readings) return;
    errActions.clear();
    if (answer.ok) specActions.updateSpec(text);
    else errActions.newThrownErr(new Error(JSON.parse(text).detail));
  } catch (error) {
    errActions.newThrownErr(error);
  }
}

/** Reads again after signing in, by one of the ways alone: the server refuses both at once. */
function signingIn(original, system) {
  return (payload) => {
    const way = payload.auth ? payload.auth.name : Object.keys(payload)[0];
    const others = Object.keys(system.authSelectors.authorized().toJS()).filter((other) => other !== way);
    if (others.length > 0) system.authActions.logout(others);
    const done = original(payload);
    read(system);
    return done;
  };
}

function signingOut(original, system) {
  return (payload) => {
    const done = original(payload);
    read(system);
    return done;
  };
}

const ReadAgain = {
  statePlugins: {
    auth: { wrapActions: { authorize: signingIn, authorizeOauth2: signingIn, logout: signingOut } },
  },
};

SwaggerUIBundle({
  url: DOCUMENT,
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [ReadAgain],
  validatorUrl: null,
  tryItOutEnabled: true,
});
