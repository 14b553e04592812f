// The Backstage reader for Graph, as its documentation uses it: everybody, every group and its members, into memory.
// Reads its options from the standard input, prints one JSON object. It asks the tenant for its own name first, which
// the sandbox does not tell: that one answer is given here.
'use strict';
const { createRequire } = require('module');
const fs = require('fs');

const options = JSON.parse(fs.readFileSync(0, 'utf8'));
const load = createRequire(`${options.folder}/package.json`);
const { MicrosoftGraphClient, readMicrosoftGraphOrg } = load('@backstage/plugin-catalog-backend-module-msgraph');

class Client extends MicrosoftGraphClient {
  async getOrganization(id) {
    return { id, displayName: 'Sandbox' };
  }
}

let token;
const credential = {
  async getToken() {
    if (!token) {
      const answer = await fetch(options.token_url, { method: 'POST', body: new URLSearchParams(options.form) });
      token = (await answer.json()).access_token;
    }
    return { token, expiresOnTimestamp: Date.now() + 3_000_000 };
  },
};
const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

(async () => {
  const started = process.hrtime.bigint();
  const client = new Client(options.target, credential);
  const { users, groups } = await readMicrosoftGraphOrg(client, options.tenant_id, {
    logger: silent,
    loadUserPhotos: false,
  });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const usage = process.resourceUsage();
  const found = {
    seconds,
    cpu_seconds: (usage.userCPUTime + usage.systemCPUTime) / 1e6,
    peak_mb: usage.maxRSS / 1024,
    users: users.length,
    groups: groups.length,
  };
  process.stdout.write(`${JSON.stringify(found)}\n`);
})();
