// An OpenID provider for tests, on node oidc-provider: one client, people from a JSON file that is read again
// at every use, so that a test can change somebody's groups while the provider runs.
//
// usage: node op.mjs PORT STATE_FILE
// STATE_FILE: {"jwks": {...}, "client": {...}, "redirect_uris": [...], "post_logout_redirect_uris": [...],
//   "logout": {"uri": ..., "names_session": ...}, "people": {"ada": {"password": ..., "claims": {...}}}}

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [port, stateFile] = process.argv.slice(2);
const issuer = `http://localhost:${port}`;
const readState = () => JSON.parse(readFileSync(stateFile, 'utf8'));
const start = readState();

const provider = new Provider(issuer, {
  jwks: start.jwks,
  clients: [{ ...start.client, redirect_uris: [`${issuer}/unused`] }],
  cookies: { keys: ['interop'] },
  scopes: ['openid', 'profile', 'email', 'groups'],
  claims: {
    openid: ['sub'],
    profile: ['name', 'given_name', 'family_name'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
  },
  conformIdTokenClaims: false,
  // Its own guard refuses loopback, where the broker of a test listens.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  pkce: { required: () => true },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      // People who come to sign out mean it: the page asks once, and its only button says yes.
      logoutSource: (ctx, form) => {
        ctx.body = form.replace('</form>', '<input type="hidden" name="logout" value="yes"><button>Sign out</button></form>');
      },
      postLogoutSuccessSource: (ctx) => { ctx.body = '<!doctype html><title>Signed out</title><p>You are signed out.</p>'; },
    },
  },
  ttl: { AccessToken: 300, AuthorizationCode: 60, IdToken: 300, Interaction: 600, Session: 3600, Grant: 3600 },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  async findAccount(ctx, id) {
    const person = readState().people[id];
    return person && { accountId: id, claims: async () => ({ sub: id, ...person.claims }) };
  },
  // Whoever signs in has agreed: consent at the provider is not what these tests are about.
  async loadExistingGrant(ctx) {
    const grant = new provider.Grant({ accountId: ctx.oidc.session.accountId, clientId: ctx.oidc.client.clientId });
    grant.addOIDCScope('openid profile email groups');
    await grant.save();
    return grant;
  },
});

// Callback addresses are registered while the provider runs, because each test's broker has its own port.
provider.Client.prototype.redirectUriAllowed = (uri) => readState().redirect_uris.includes(uri);
provider.Client.prototype.postLogoutRedirectUriAllowed = (uri) => readState().post_logout_redirect_uris.includes(uri);
const findClient = provider.Client.find.bind(provider.Client);
provider.Client.find = async (id) => {
  const client = await findClient(id);
  const { uri, names_session: namesSession } = readState().logout;
  return client && Object.assign(client, {
    backchannelLogoutUri: uri || undefined, backchannelLogoutSessionRequired: namesSession,
  });
};

provider.on('backchannel.error', (ctx, error) => console.error('back-channel logout failed:', error));

const page = (problem = '') => `<!doctype html><title>Sign in</title><p>${problem}</p>
<form method="post"><input name="username"><input name="password" type="password"><button>Sign in</button></form>`;

async function interact(request, response) {
  await provider.interactionDetails(request, response);
  response.setHeader('content-type', 'text/html; charset=utf-8');
  if (request.method !== 'POST') {
    response.end(page());
    return;
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  const form = new URLSearchParams(body);
  const person = readState().people[form.get('username')];
  if (!person || person.password !== form.get('password')) {
    response.statusCode = 403;
    response.end(page('Wrong user name or password.'));
    return;
  }
  await provider.interactionFinished(request, response, { login: { accountId: form.get('username') } });
}

const handle = provider.callback();
const serve = (request, response) => {
  if (!request.url.startsWith('/interaction/')) {
    handle(request, response);
    return;
  }
  interact(request, response).catch((error) => {
    response.statusCode = 400;
    response.end(String(error));
  });
};

// Both loopback addresses, because a client may resolve "localhost" to either.
createServer(serve).listen(Number(port), '127.0.0.1', () => console.log('ready'));
createServer(serve).on('error', () => {}).listen(Number(port), '::1');
