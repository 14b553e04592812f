// Microsoft's SDK for JavaScript walks through Graph at one root, and prints what it found as JSON.
//
// node sdk_walk.mjs ROOT GROUP PERSON; SYNCD_WALK_TOKEN is the token, SYNCD_WALK_MODULES the folder with node_modules,
// NODE_EXTRA_CA_CERTS the authority to trust. Nothing here knows that Graph is an imitation.
import { createRequire } from "node:module";

const [root, group, person] = process.argv.slice(2);
const require = createRequire(`${process.env.SYNCD_WALK_MODULES}/`);
const { BatchRequestContent, BatchResponseContent, Client, PageIterator } = require("@microsoft/microsoft-graph-client");

const client = Client.init({
  authProvider: (done) => done(null, process.env.SYNCD_WALK_TOKEN),
  baseUrl: `${root}/`,
  customHosts: new Set([new URL(root).hostname]),
  defaultVersion: "v1.0",
});

async function listAll(request) {
  const found = [];
  const pages = new PageIterator(client, await request.get(), (entry) => {
    found.push(entry);
    return true;
  });
  await pages.iterate();
  return { found, delta: pages.getDeltaLink() };
}

async function readError(request) {
  try {
    await request.get();
    return null;
  } catch (error) {
    return [error.statusCode, error.code];
  }
}

const users = await listAll(client.api("/users").select(["id", "displayName"]).expand("manager($select=id)").top(7));
const members = await listAll(client.api(`/groups/${group}/members`).select(["id"]));
const count = await client.api("/users/$count").header("ConsistencyLevel", "eventual").get();
const delta = await listAll(client.api("/users/delta").select(["id", "displayName"]));
const again = await listAll(client.api(delta.delta));
const batch = new BatchRequestContent([
  { id: "1", request: { url: `/users/${person}?$select=id`, method: "GET", headers: new Headers() } },
  { id: "2", request: { url: "/users/00000000-0000-4000-8000-000000000000", method: "GET", headers: new Headers() } },
]);
const answers = new BatchResponseContent(await client.api("/$batch").post(await batch.getContent()));

console.log(
  JSON.stringify({
    users: users.found.map((each) => [each.id, each.displayName, each.manager?.id ?? null]),
    members: members.found.map((each) => [each.id, each["@odata.type"]]),
    count: Number(typeof count === "string" ? count : (count?.value ?? count)),
    delta: delta.found.map((each) => each.id),
    again: again.found.length,
    batch: [answers.getResponseById("1").status, answers.getResponseById("2").status],
    missing: await readError(client.api("/users/00000000-0000-4000-8000-000000000000")),
    refused: await readError(client.api("/users").filter("nonsense eq 'x'")),
  }),
);
