// The peer of the bench: node oidc-provider with its in-memory store, ES256 JWT access tokens, client
// credentials, introspection, and token exchange as a grant of its own. Nothing that it does is durable.
//
// usage: node provider.mjs SETUP_FILE
// SETUP_FILE: {"port", "resource", "scope", "secret", "client", "introspector", "subjects", "tokens"}. When it
// answers, the file "tokens" holds {"subjects": [...], "opaque": [...]}: tokens to exchange and to ask about.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createLocalJWKSet, jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

const setup = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const issuer = `http://127.0.0.1:${setup.port}`;
const privateJwk = {
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
  alg: 'ES256',
  use: 'sig',
  kid: 'k1',
};
const { d, ...publicJwk } = privateJwk;
const ownKeys = createLocalJWKSet({ keys: [publicJwk] });
const resourceServer = {
  scope: setup.scope,
  audience: setup.resource,
  accessTokenTTL: 3600,
  accessTokenFormat: 'jwt',
  jwt: { sign: { alg: 'ES256' } },
};

const provider = new Provider(issuer, {
  jwks: { keys: [privateJwk] },
  cookies: { keys: ['bench'] },
  clients: [
    {
      client_id: setup.client,
      client_secret: setup.secret,
      grant_types: ['client_credentials', TOKEN_EXCHANGE],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: 'ES256',
      token_endpoint_auth_method: 'client_secret_basic',
    },
    {
      client_id: setup.introspector,
      client_secret: setup.secret,
      grant_types: [],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: 'ES256',
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => setup.resource,
      getResourceServerInfo: () => resourceServer,
      useGrantedResource: () => true,
    },
  },
  ttl: { AccessToken: 3600, ClientCredentials: 600 },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});

function newToken(client, accountId, scope, claims) {
  const token = new provider.AccessToken({ accountId, client, scope, gty: TOKEN_EXCHANGE, extra: claims });
  token.resourceServer = new provider.ResourceServer(setup.resource, resourceServer);
  return token;
}

provider.registerGrantType(
  TOKEN_EXCHANGE,
  async (ctx) => {
    const { params, client } = ctx.oidc;
    if (params.subject_token_type !== ACCESS_TOKEN || !params.subject_token) {
      throw new errors.InvalidRequest('subject_token and subject_token_type are needed');
    }
    let subject;
    try {
      ({ payload: subject } = await jwtVerify(params.subject_token, ownKeys, {
        issuer,
        audience: setup.resource,
        typ: 'at+jwt',
        algorithms: ['ES256'],
      }));
    } catch {
      throw new errors.InvalidGrant('the subject token is not valid');
    }
    if (subject.client_id !== client.clientId) throw new errors.InvalidGrant('not the presenter');
    const held = new Set(subject.scope.split(' '));
    const scope = (params.scope ?? subject.scope).split(' ').filter((one) => held.has(one)).join(' ');
    if (!scope) throw new errors.InvalidScope('nothing is left', params.scope);
    const token = newToken(client, subject.sub, scope, { act: { sub: client.clientId }, roles: subject.roles });
    token.expiresIn = Math.min(600, subject.exp - Math.floor(Date.now() / 1000));
    ctx.oidc.entity('AccessToken', token);
    ctx.body = {
      access_token: await token.save(),
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: token.expiration,
      scope,
    };
  },
  ['subject_token', 'subject_token_type', 'scope'],
);

const client = await provider.Client.find(setup.client);
const claims = { act: { sub: setup.client }, roles: ['support.agent'] };
const subjects = [];
for (let number = 0; number < setup.subjects; number += 1) {
  subjects.push(await newToken(client, `person-${number % 50}`, setup.scope, claims).save());
}
const opaque = [];
for (let number = 0; number < 64; number += 1) {
  const token = new provider.AccessToken({ accountId: `person-${number}`, client, scope: setup.scope, extra: claims });
  opaque.push(await token.save());
}

writeFileSync(setup.tokens, JSON.stringify({ subjects, opaque }));
provider.listen(setup.port, '127.0.0.1');
