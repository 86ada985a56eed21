// Passkeys. Everything else on the account pages works without a script.
"use strict";

(() => {
  const utf8 = new TextEncoder();

  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

  const base64url = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

  /** What the server reads of a credential. Browsers older than 2025 lack `toJSON`. */
  const sendable = (credential) => {
    if (credential.toJSON) return credential.toJSON();
    const { clientDataJSON, attestationObject, authenticatorData, signature, userHandle } = credential.response;
    const parts = { clientDataJSON, attestationObject, authenticatorData, signature, userHandle };
    const sent = Object.entries(parts).filter(([, part]) => part);
    return {
      id: credential.id,
      rawId: base64url(credential.rawId),
      type: credential.type,
      response: Object.fromEntries(sent.map(([name, part]) => [name, base64url(part)])),
      clientExtensionResults: {},
    };
  };

  const challenge = async (path) => {
    const answer = await fetch(path, { method: "POST", headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status === 429 ? "busy" : "refused");
    return answer.json();
  };

  const why = (error, making) => {
    switch (error.name) {
      case "NotAllowedError":
        return making ? "No passkey was made. You can try again." : "No passkey was chosen. You can try again, or use your password.";
      case "InvalidStateError":
        return "This device has a passkey for your account already.";
      case "NotSupportedError":
      case "ConstraintError":
        return "This device can't make a passkey that asks who you are. Set up a screen lock first, or use another device.";
      case "SecurityError":
        return "Passkeys need a secure address (https) with a name.";
      case "TypeError":
        return "The site can't be reached. Are you online?";
      default:
        if (error.message === "busy") return "That was tried too often. Please wait a moment.";
        return "That did not work. Please load the page again.";
    }
  };

  const send = (form, credential) => {
    form.elements.credential.value = JSON.stringify(sendable(credential));
    form.submit();
  };

  const whileBusy = async (form, making, work) => {
    const button = form.querySelector("button");
    const status = form.querySelector("[role=status]");
    button.disabled = true;
    status.textContent = "Your browser asks you now.";
    try {
      send(form, await work());
    } catch (error) {
      status.textContent = why(error, making);
      button.disabled = false;
      button.focus();
    }
  };

  const make = async () => {
    const { challenge: text, user, known } = await challenge("/account/challenge");
    return navigator.credentials.create({
      publicKey: {
        challenge: bytes(text),
        rp: { id: location.hostname, name: document.title },
        user: { id: utf8.encode(user.handle), name: user.email, displayName: user.name || user.email },
        pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
        excludeCredentials: known.map((id) => ({ type: "public-key", id: bytes(id) })),
        authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
        attestation: "none",
      },
    });
  };

  const ask = async (further) => {
    const { challenge: text } = await challenge("/login/challenge");
    const publicKey = { challenge: bytes(text), rpId: location.hostname, userVerification: "required" };
    return navigator.credentials.get({ publicKey, ...further });
  };

  const passkeysPage = (form) => {
    form.hidden = false;
    document.querySelector("[data-passkey-none]").hidden = true;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      whileBusy(form, true, make);
    });
  };

  /** The browser offers passkeys where it fills in the e-mail address, once somebody goes there. */
  const offerInField = async (form, field) => {
    const able = await PublicKeyCredential.isConditionalMediationAvailable?.();
    let waiting = null;
    const stop = () => {
      waiting?.abort();
      waiting = null;
    };
    if (!able) return stop;
    field.autocomplete = "username webauthn";
    const offer = async () => {
      if (waiting) return;
      const mine = (waiting = new AbortController());
      // The server forgets what it asked after five minutes.
      const timer = setTimeout(() => waiting === mine && (stop(), offer()), 4 * 60 * 1000);
      try {
        send(form, await ask({ mediation: "conditional", signal: mine.signal }));
      } catch {
        // Nothing was chosen; the button explains what goes wrong.
        clearTimeout(timer);
      }
    };
    field.addEventListener("focus", offer, { once: true });
    if (document.activeElement === field) offer();
    return stop;
  };

  const loginPage = (place) => {
    const form = place.querySelector("form");
    const stop = offerInField(form, document.getElementById("ts-email")).catch(() => () => {});
    place.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      (await stop)();
      whileBusy(form, false, () => ask({}));
    });
  };

  if (!window.PublicKeyCredential) return;
  const login = document.querySelector("[data-passkey-login]");
  const fresh = document.querySelector("[data-passkey-new]");
  if (login) loginPage(login);
  if (fresh) passkeysPage(fresh);
})();
