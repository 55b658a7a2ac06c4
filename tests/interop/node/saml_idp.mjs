// A SAML identity provider for tests, on samlp: people, services and faults from a JSON file that is read
// again at every request, so that a test can change them while the provider runs.
//
// usage: node saml_idp.mjs PORT STATE_FILE
// STATE_FILE: {"key": PEM, "cert": PEM, "services": {ENTITY_ID: ACS_URL}, "options": {...},
//              "people": {"ada": {"password": ..., "attributes": {...}}}}
// "options" are given to samlp as they are, after ours.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import samlp from 'samlp';

const [port, stateFile] = process.argv.slice(2);
const issuer = `http://localhost:${port}/metadata`;
const readState = () => JSON.parse(readFileSync(stateFile, 'utf8'));

const page = (problem = '') => `<!doctype html><title>Sign in</title><p>${problem}</p>
<form method="post"><input name="username"><input name="password" type="password"><button>Sign in</button></form>`;

const mapProfile = (person) => ({
  getClaims: () => person.attributes,
  getNameIdentifier: () => ({
    nameIdentifier: person.id,
    nameIdentifierFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
  }),
});

async function readForm(request) {
  let body = '';
  for await (const chunk of request) body += chunk;
  return new URLSearchParams(body);
}

function answer(request, response, state, person) {
  const respond = (found) => {
    const acs = state.services[found?.issuer];
    if (!acs) throw new Error(`unknown service ${found?.issuer}`);
    const middleware = samlp.auth({
      issuer,
      cert: state.cert,
      key: state.key,
      destination: acs,
      recipient: acs,
      lifetimeInSeconds: 300,
      sessionIndex: `session-of-${person.id}`,
      signResponse: true,
      profileMapper: mapProfile,
      getUserFromRequest: () => person,
      getPostURL: (_audience, _document, _request, done) => done(null, acs),
      ...state.options,
    });
    response.set = (name, value) => response.setHeader(name, value);
    response.send = (content) => response.end(String(content));
    middleware(request, response, (error) => fail(response, error));
  };
  samlp.parseRequest(request, {}, (error, found) => {
    try {
      if (error) throw error;
      respond(found);
    } catch (problem) {
      fail(response, problem);
    }
  });
}

function fail(response, error) {
  response.statusCode = 400;
  response.end(String(error));
}

async function serve(request, response) {
  request.query = Object.fromEntries(new URL(request.url, issuer).searchParams);
  request.body = {};
  response.setHeader('content-type', 'text/html; charset=utf-8');
  if (request.method !== 'POST') {
    response.end(page());
    return;
  }
  const form = await readForm(request);
  const state = readState();
  const person = state.people[form.get('username')];
  if (!person || person.password !== form.get('password')) {
    response.statusCode = 403;
    response.end(page('Wrong user name or password.'));
    return;
  }
  answer(request, response, state, { id: form.get('username'), ...person });
}

const handle = (request, response) => serve(request, response).catch((error) => fail(response, error));

// Both loopback addresses, because a client may resolve "localhost" to either.
createServer(handle).listen(Number(port), '127.0.0.1', () => console.log('ready'));
createServer(handle).on('error', () => {}).listen(Number(port), '::1');
