// A small site with accounts in a folder of its own, served by `tableside dev` on a free port.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const FILES = {
  "site.toml": `[site]\nname = "Harbour"\n[users]\nregister = "open"\n[[access]]\npath = "/private"\nallow = "users"\n`,
  "migrations/0001_start.sql": "create table nicknames (user_id integer primary key references users on delete cascade, nickname text not null unique);\n",
  "events/register.sql": `-- :nickname  text  required maxlength=30 label="Nickname"\n-- error: nicknames.nickname on=nickname This nickname is taken.\n-- name: named :exec\ninsert into nicknames (user_id, nickname) values (@user_id, :nickname);\n`,
  "pages/index.html": `{% extends "_layout.html" %}{% block main %}<h1>Harbour</h1><p id="who">{% if user %}{{ user.email }}{% else %}nobody{% endif %}</p>{% endblock %}\n`,
  "pages/private.html": `{% extends "_layout.html" %}{% block main %}<h1>Private</h1>{% endblock %}\n`,
  "pages/api/me.json.sql": "-- name: id :value\nselect @user_id;\n",
};

const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

/** Starts the site. Gives its address, the links of its mails, and what stops it. */
export async function start(binary) {
  const folder = mkdtempSync(join(tmpdir(), "tableside-e2e-"));
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const port = await freePort();
  // Passkeys are bound to a name; `localhost` is the one that needs no HTTPS.
  const at = `http://localhost:${port}`;
  const server = spawn(binary, ["dev", folder, "--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [server.stdout, server.stderr]) stream.on("data", (data) => (said += data));
  for (let tries = 0; ; tries++) {
    if (await fetch(at).then((answer) => answer.ok, () => false)) break;
    if (tries > 100 || server.exitCode !== null) throw new Error(`the site does not start:\n${said}`);
    await new Promise((done) => setTimeout(done, 100));
  }
  const stop = async () => {
    const ended = new Promise((done) => server.once("exit", done));
    server.kill();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { at, stop, said: () => said, link: (to) => link(at, to) };
}

/** The address in the newest message to somebody. */
async function link(at, to) {
  const mail = await fetch(`${at}/-/mail/latest.txt?to=${encodeURIComponent(to)}`);
  const text = await mail.text();
  const found = text.match(/https?:\/\/\S+\/(?:confirm|reset|account\/email)\/[\w-]+/);
  if (!found) throw new Error(`no link in the message to ${to}: ${text}`);
  return found[0];
}

/** The code of an authenticator app (RFC 6238), `steps` of half a minute from now. */
export function code(secret, steps) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret.replace(/[\s=]/g, "")].map((c) => letters.indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac("sha1", key).update(counter).digest();
  const start = mac[19] & 15;
  return String((mac.readUInt32BE(start) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}
