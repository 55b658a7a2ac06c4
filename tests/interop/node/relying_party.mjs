// A strict relying party for tests, on oauth4webapi: it checks every answer by the letter of its RFC and
// says on standard output what it found, one JSON object a line. It asks for a browser by {"open": URL} and
// reads the address at which that browser ended as one line of standard input.
//
// usage: node relying_party.mjs SETTING_FILE
// SETTING_FILE: {"issuer", "flow", "client": {"client_id", "token_endpoint_auth_method"}, "secret" or "jwk",
//                "redirect_uri", "resource", "scope", "with": ["par", "dpop"]}

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { subtle } from 'node:crypto';
import * as oauth from 'oauth4webapi';

const setting = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const plain = { [oauth.allowInsecureRequests]: true };
const uses = (feature) => (setting.with ?? []).includes(feature);
const tell = (found) => process.stdout.write(`${JSON.stringify(found)}\n`);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function browse(url) {
  tell({ open: url.href });
  return new URL((await answers.next()).value);
}

async function discover(algorithm) {
  const issuer = new URL(setting.issuer);
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...plain, algorithm }));
}

async function authentication() {
  if (setting.jwk) {
    const how = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const key = await subtle.importKey('jwk', setting.jwk, how, false, ['sign']);
    return oauth.PrivateKeyJwt({ key, kid: setting.jwk.kid });
  }
  return setting.secret ? oauth.ClientSecretBasic(setting.secret) : oauth.None();
}

// One party for a whole run: its server, its client, its key for proofs if it uses them.
async function party(algorithm = 'oidc') {
  const server = await discover(algorithm);
  const client = setting.client;
  const options = { ...plain };
  if (uses('dpop')) options.DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256', { extractable: false }));
  return { server, client, auth: await authentication(), options };
}

// A server may ask for its nonce once; the library keeps it for the second try.
async function withNonce(send) {
  try {
    return await send();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return send();
  }
}

async function authorized({ server, client, auth, options }) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const nonce = oauth.generateRandomNonce();
  const wish = {
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: setting.redirect_uri,
    scope: setting.scope,
    resource: setting.resource,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  };
  let query = wish;
  if (uses('par')) {
    const { request_uri } = await withNonce(async () =>
      oauth.processPushedAuthorizationResponse(
        server, client, await oauth.pushedAuthorizationRequest(server, client, auth, wish, options)));
    query = { client_id: client.client_id, request_uri };
  }
  const url = new URL(server.authorization_endpoint);
  url.search = new URLSearchParams(query).toString();
  const answer = oauth.validateAuthResponse(server, client, await browse(url), state);
  return withNonce(async () => {
    const response = await oauth.authorizationCodeGrantRequest(
      server, client, auth, answer, setting.redirect_uri, verifier,
      { ...options, additionalParameters: { resource: setting.resource } });
    const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, {
      expectedNonce: nonce,
      requireIdToken: true,
    });
    await oauth.validateApplicationLevelSignature(server, response, plain);
    return tokens;
  });
}

// What a resource server would check, by the same library.
async function accepted(server, token, options) {
  const url = new URL(setting.resource);
  const headers = new Headers();
  let request;
  await oauth.protectedResourceRequest(token, 'GET', url, headers, null, {
    ...options,
    [oauth.customFetch]: async (where, init) => {
      request = new Request(where, { method: init.method, headers: init.headers });
      return new Response('{}');
    },
  });
  return oauth.validateJwtAccessToken(server, request, setting.resource, plain);
}

async function code() {
  const me = await party();
  const { server, client, auth, options } = me;
  const tokens = await authorized(me);
  const identity = oauth.getValidatedIdTokenClaims(tokens);
  const claims = await accepted(server, tokens.access_token, options);
  const refreshed = await withNonce(async () =>
    oauth.processRefreshTokenResponse(
      server, client, await oauth.refreshTokenGrantRequest(server, client, auth, tokens.refresh_token, options)));
  const newer = await accepted(server, refreshed.access_token, options);
  await oauth.processRevocationResponse(
    await oauth.revocationRequest(server, client, auth, refreshed.refresh_token, plain));
  const again = await refusal(async () =>
    oauth.processRefreshTokenResponse(
      server, client, await oauth.refreshTokenGrantRequest(server, client, auth, refreshed.refresh_token, options)));
  return { token_type: tokens.token_type, identity, claims, newer, again };
}

async function client_credentials() {
  const { server, client, auth, options } = await party('oauth2');
  const tokens = await withNonce(async () =>
    oauth.processClientCredentialsResponse(
      server, client,
      await oauth.clientCredentialsGrantRequest(
        server, client, auth, { scope: setting.scope, resource: setting.resource }, options)));
  return { token_type: tokens.token_type, claims: await accepted(server, tokens.access_token, options) };
}

async function exchange() {
  const { server, client, auth, options } = await party('oauth2');
  const type = 'urn:ietf:params:oauth:token-type:access_token';
  const own = await oauth.processClientCredentialsResponse(
    server, client,
    await oauth.clientCredentialsGrantRequest(
      server, client, auth, { scope: setting.scope, resource: setting.resource }, options));
  const tokens = await withNonce(async () =>
    oauth.processGenericTokenEndpointResponse(
      server, client,
      await oauth.genericTokenEndpointRequest(
        server, client, auth, 'urn:ietf:params:oauth:grant-type:token-exchange',
        { subject_token: own.access_token, subject_token_type: type, scope: setting.narrower }, options)));
  return { token_type: tokens.token_type, claims: await accepted(server, tokens.access_token, options) };
}

async function introspection() {
  const { server, client, auth } = await party('oauth2');
  const response = await oauth.introspectionRequest(server, client, auth, setting.token, plain);
  return oauth.processIntrospectionResponse(server, client, response);
}

async function refusal(send) {
  try {
    await send();
    return null;
  } catch (error) {
    return { code: error.code, error: error.error, status: error.status };
  }
}

const flows = { code, client_credentials, exchange, introspection };
tell({ result: await flows[setting.flow]() });
process.exit(0);
