// The account pages in a real browser, as a visitor goes through them: `tests/e2e/run [path of tableside]`.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

import { code, start } from "./site.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const MAIL = "robin@example.org";
const FIRST = "seven grey herons";
const SECOND = "eight brown otters";
const THIRD = "nine white swans";

const site = await start(process.argv[2] ?? "tableside");
const browser = await chromium.launch({
  executablePath: execFileSync("which", ["chromium"], { encoding: "utf8" }).trim(),
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});

/** One line for each step that held, with the time that it took. */
async function step(name, work) {
  const began = Date.now();
  try {
    await work();
  } catch (error) {
    console.error(`FAILED  ${name}`);
    throw error;
  }
  console.log(`${String(Date.now() - began).padStart(6)} ms  ${name}`);
}

async function visitor(options = {}) {
  const context = await browser.newContext({ baseURL: site.at, ...options });
  context.setDefaultTimeout(10_000);
  return context.newPage();
}

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const fill = (page, label, text) => page.getByLabel(label, { exact: true }).fill(text);
const headed = (page, title) => page.getByRole("heading", { level: 1, name: title, exact: true }).waitFor();
const says = (page, text) => page.getByText(text).first().waitFor();

async function is(page, who) {
  await page.goto("/");
  assert.equal(await page.locator("#who").textContent(), who);
}

async function register(page, mail, nickname) {
  await page.goto("/register");
  await fill(page, "E-mail address", mail);
  await fill(page, "Your name", "Robin");
  await fill(page, "Nickname", nickname);
  await fill(page, "Password", FIRST);
  await press(page, "Make my account");
  await headed(page, "Check your mail");
}

async function login(page, mail, password) {
  await page.goto("/login");
  await fill(page, "E-mail address", mail);
  await fill(page, "Password", password);
  await press(page, "Log in");
}

async function logout(page) {
  await page.goto("/account");
  await press(page, "Log out");
  await says(page, "You are logged out.");
}

/** No serious fault for people who use the page with a screen reader, or who see little; light and dark. */
async function accessible(page, paths) {
  for (const path of paths) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      if (path) await page.goto(path);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const serious = violations.filter((fault) => ["serious", "critical"].includes(fault.impact));
      const told = serious.map((fault) => `${fault.id}: ${fault.nodes.map((node) => node.html + node.failureSummary).join("\n")}`);
      assert.deepEqual(told, [], `${path || page.url()}, ${colorScheme}`);
    }
  }
}

async function journey() {
  const page = await visitor();
  let secret, used, codes, token;

  await step("a short password and a missing field are told at the field", async () => {
    await page.goto("/register");
    await fill(page, "E-mail address", MAIL);
    await fill(page, "Nickname", "red");
    await fill(page, "Password", "short");
    await press(page, "Make my account");
    await page.locator("#password-error").waitFor();
    assert.equal(await page.getByLabel("E-mail address").inputValue(), MAIL);
    assert.equal(await page.getByLabel("Password").inputValue(), "");
    assert.equal(await page.evaluate(() => document.activeElement.name), "password");
    await accessible(page, [""]);
  });

  await step("register", () => register(page, MAIL, "robin"));

  await step("confirm by the link of the mail, after a login that leads there", async () => {
    await page.goto(await site.link(MAIL));
    await press(page, "Yes, confirm it");
    await headed(page, "Log in");
  });

  await step("a wrong password is refused, the right one is let in", async () => {
    await login(page, MAIL, "not the password");
    const alert = page.getByRole("alert");
    await alert.waitFor();
    assert.match(await alert.textContent(), /is wrong/);
    assert.equal(await page.evaluate(() => document.activeElement.role), "alert");
    await page.goto("/private");
    await fill(page, "E-mail address", MAIL);
    await fill(page, "Password", FIRST);
    await press(page, "Log in");
    await headed(page, "Private");
    await is(page, MAIL);
  });

  await step("the name is changed", async () => {
    await page.goto("/account");
    assert.equal(await page.getByText("Not confirmed yet").count(), 0);
    await fill(page, "Your name", "Robin R.");
    await press(page, "Save");
    await says(page, "Your name is saved.");
    assert.equal(await page.getByLabel("Your name").inputValue(), "Robin R.");
  });

  await step("switch the second factor on, and see the recovery codes once", async () => {
    await page.goto("/account/totp");
    await fill(page, "Your password", FIRST);
    await press(page, "Begin");
    secret = await page.locator(".ts-secret").textContent();
    await fill(page, "Code of the app", "000000");
    await press(page, "Switch it on");
    await page.locator("#code-error").waitFor();
    await accessible(page, [""]);
    // Half a minute ago, because each code counts once and more are needed soon.
    used = code(secret, -1);
    await fill(page, "Code of the app", used);
    await press(page, "Switch it on");
    await says(page, "The second factor is on.");
    codes = await page.locator(".ts-codes code").allTextContents();
    assert.equal(codes.length, 10);
    await accessible(page, [""]);
    await page.goto("/account/totp");
    assert.equal(await page.locator(".ts-codes").count(), 0);
  });

  await step("log in with the second factor; a code counts once", async () => {
    await logout(page);
    await login(page, MAIL, FIRST);
    await headed(page, "One more step");
    await is(page, "nobody");
    await login(page, MAIL, FIRST);
    await accessible(page, [""]);
    await fill(page, "Code", used);
    await press(page, "Log in");
    await page.locator("#code-error").waitFor();
    await fill(page, "Code", code(secret, 0));
    await press(page, "Log in");
    await headed(page, "Your account");
  });

  await step("log in with a recovery code", async () => {
    await logout(page);
    await login(page, MAIL, FIRST);
    await fill(page, "Code", codes[0].toUpperCase());
    await press(page, "Log in");
    await says(page, "9 recovery codes left");
  });

  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });

  await step("make a passkey; the same device is not asked twice", async () => {
    await page.goto("/account/passkeys");
    await fill(page, "Name", "My phone");
    await fill(page, "Your password", FIRST);
    await press(page, "Add a passkey");
    await says(page, "The passkey is saved.");
    await says(page, "not used yet");
    await fill(page, "Name", "Again");
    await press(page, "Add a passkey");
    await says(page, "This device has a passkey for your account already.");
  });

  await step("log in with the passkey, and go where it was asked", async () => {
    await logout(page);
    await page.goto("/private");
    await headed(page, "Log in");
    await press(page, "Log in with a passkey");
    await headed(page, "Private");
    await is(page, MAIL);
  });

  await step("see another sign-in and end it", async () => {
    const other = await visitor();
    await login(other, MAIL, FIRST);
    await fill(other, "Code", code(secret, 1));
    await press(other, "Log in");
    await headed(other, "Your account");
    await page.goto("/account");
    await says(page, "this device");
    await page.getByRole("button", { name: /^End the sign-in/ }).click();
    await says(page, "The sign-in is ended.");
    await other.goto("/private");
    await headed(other, "Log in");
    await other.context().close();
    await is(page, MAIL);
  });

  await step("the pages hold up for everybody, light and dark", async () => {
    const paths = ["", "/totp", "/passkeys", "/password", "/email", "/tokens", "/delete"].map((path) => `/account${path}`);
    await accessible(page, [...paths, "/logout"]);
  });

  await step("forget the password and choose another: old sign-ins are gone", async () => {
    const other = await visitor();
    await other.goto("/forgot");
    await fill(other, "E-mail address", MAIL);
    await press(other, "Send the link");
    await headed(other, "Check your mail");
    const link = await site.link(MAIL);
    await other.goto(link);
    await accessible(other, [""]);
    await fill(other, "New password", SECOND);
    await press(other, "Save the password");
    await says(other, "Your password is changed.");
    await other.goto(link);
    await says(other, "This link was used already");
    await other.context().close();
    await is(page, "nobody");
    await page.goto("/login");
    await press(page, "Log in with a passkey");
    await headed(page, "Your account");
  });

  await step("change the e-mail address", async () => {
    await page.goto("/account/email");
    await fill(page, "New e-mail address", "wren@example.org");
    await fill(page, "Your password", SECOND);
    await press(page, "Send the link");
    await says(page, "We have sent a link");
    await page.goto(await site.link("wren@example.org"));
    await press(page, "Change it");
    await is(page, "wren@example.org");
  });

  await step("change the password", async () => {
    await page.goto("/account/password");
    await fill(page, "Your password now", SECOND);
    await fill(page, "New password", THIRD);
    await press(page, "Change my password");
    await says(page, "Your password is changed.");
    await is(page, "wren@example.org");
  });

  await step("make a token, use it, revoke it", async () => {
    const me = () => fetch(`${site.at}/api/me`, { headers: { Authorization: `Bearer ${token}` } });
    await page.goto("/account/tokens");
    await fill(page, "What it is for", "Backup");
    await fill(page, "Your password", THIRD);
    await press(page, "Make the token");
    token = await page.locator(".ts-secret").textContent();
    await accessible(page, [""]);
    assert.deepEqual(await (await me()).json(), { id: 1 });
    await page.goto("/account/tokens");
    assert.equal(await page.getByText(token).count(), 0);
    await press(page, "Revoke Backup");
    await says(page, "The token is revoked.");
    assert.equal((await me()).status, 401);
  });

  await step("delete the account", async () => {
    await page.goto("/account/delete");
    await fill(page, "Your password", THIRD);
    await press(page, "Delete my account for good");
    await says(page, "Your account is deleted.");
    await is(page, "nobody");
    await login(page, "wren@example.org", THIRD);
    await page.getByRole("alert").waitFor();
  });
  await page.context().close();
}

async function withoutScripts() {
  const page = await visitor({ javaScriptEnabled: false });
  await step("without JavaScript: register, confirm, log in, log out", async () => {
    await register(page, "plain@example.org", "plain");
    await page.goto(await site.link("plain@example.org"));
    await press(page, "Yes, confirm it");
    await login(page, "plain@example.org", FIRST);
    await headed(page, "Your account");
    await page.goto("/account/passkeys");
    await says(page, "this page needs JavaScript");
    await logout(page);
    await is(page, "nobody");
  });
  await page.context().close();
}

async function byKeyboard() {
  const page = await visitor();
  await step("with the keyboard alone: log in and out", async () => {
    await page.goto("/login");
    const field = page.getByLabel("E-mail address");
    for (let tabs = 0; tabs < 9 && !(await field.evaluate((node) => node === document.activeElement)); tabs++) {
      await page.keyboard.press("Tab");
    }
    await page.keyboard.type("plain@example.org");
    await page.keyboard.press("Tab");
    await page.keyboard.type(FIRST);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    await page.keyboard.press("Enter");
    await headed(page, "Your account");
    await page.goto("/logout");
    const button = page.getByRole("button", { name: "Log out" });
    for (let tabs = 0; tabs < 9 && !(await button.evaluate((node) => node === document.activeElement)); tabs++) {
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await says(page, "You are logged out.");
  });
  await step("the pages before a login hold up for everybody, light and dark", () =>
    accessible(page, ["/login", "/register", "/register/sent", "/forgot", "/forgot/sent", "/confirm/none", "/reset/none", "/logout"]));
  await page.context().close();
}

let failed = false;
const began = Date.now();
try {
  await journey();
  await withoutScripts();
  await byKeyboard();
  console.log(`all held in ${((Date.now() - began) / 1000).toFixed(1)} s`);
} catch (error) {
  failed = true;
  console.error(error);
  for (const context of browser.contexts()) {
    for (const page of context.pages()) {
      console.error(page.url(), await page.locator("main").innerText({ timeout: 1000 }).catch(() => ""));
    }
  }
  console.error(site.said().split("\n").slice(-15).join("\n"));
} finally {
  await browser.close();
  await site.stop();
}
process.exitCode = failed ? 1 : 0;
