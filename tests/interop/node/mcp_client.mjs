// An MCP client for tests, on the official TypeScript SDKs: it knows a server's URL and calls one tool.
// It asks for a browser by {"open": URL} on standard output and reads where that browser ended as a line.
//
// usage: node mcp_client.mjs SETTING_FILE
// SETTING_FILE: {"sdk": "2" or "1", "url", "callback", "tool", "arguments",
//                "client": {"client_id", "client_secret"} or "metadata_url" or neither (it registers itself)}

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const setting = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const tell = (found) => process.stdout.write(`${JSON.stringify(found)}\n`);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function load() {
  if (setting.sdk === '2') return import('@modelcontextprotocol/client');
  const [client, transport] = await Promise.all([
    import('@modelcontextprotocol/sdk/client/index.js'),
    import('@modelcontextprotocol/sdk/client/streamableHttp.js'),
  ]);
  return { ...client, ...transport };
}

// What an application keeps for the SDK; everything lives as long as this process.
class Keeper {
  constructor() {
    this.kept = { client: setting.client };
    this.registrations = 0;
    this.clientMetadataUrl = setting.metadata_url;
  }

  get redirectUrl() { return setting.callback; }

  get clientMetadata() {
    return {
      client_name: 'TypeScript client',
      redirect_uris: [setting.callback],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: setting.client?.client_secret ? 'client_secret_basic' : 'none',
      application_type: 'native',
    };
  }

  state() { return 'state-of-the-test'; }
  clientInformation() { return this.kept.client; }
  saveClientInformation(client) { this.kept.client = client; this.registrations += 1; }
  tokens() { return this.kept.tokens; }
  saveTokens(tokens) { this.kept.tokens = tokens; }
  saveCodeVerifier(verifier) { this.kept.verifier = verifier; }
  codeVerifier() { return this.kept.verifier; }
  saveDiscoveryState(state) { this.kept.discovery = state; }
  discoveryState() { return this.kept.discovery; }
  async redirectToAuthorization(url) {
    tell({ open: url.href });
    this.came_back = new URL((await answers.next()).value);
  }
}

const sdk = await load();
const keeper = new Keeper();
const connect = async () => {
  const transport = new sdk.StreamableHTTPClientTransport(new URL(setting.url), { authProvider: keeper });
  const client = new sdk.Client({ name: 'typescript', version: '1.0.0' });
  try {
    await client.connect(transport);
  } catch (error) {
    if (!keeper.came_back || keeper.kept.tokens) throw error;
    const query = keeper.came_back.searchParams;
    await (setting.sdk === '2' ? transport.finishAuth(query) : transport.finishAuth(query.get('code')));
    return connect();
  }
  return client;
};

const client = await connect();
const answer = await client.callTool({ name: setting.tool, arguments: setting.arguments ?? {} });
tell({
  result: {
    is_error: answer.isError ?? false,
    told: answer.structuredContent ?? {},
    client_id: keeper.kept.client?.client_id,
    registrations: keeper.registrations,
    scope: keeper.kept.tokens?.scope,
  },
});
process.exit(0);
