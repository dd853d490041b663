// node worker.mjs MODULES LIBRARY: one contestant in Node.js; asked and answering as worker.py is. What each is, and which of it is as
// documented, stands in CONTESTANTS.
import { createHmac, createPrivateKey, createPublicKey, createSecretKey, sign, timingSafeEqual, verify, webcrypto } from "node:crypto";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [modules, library] = process.argv.slice(2);
const require = createRequire(modules + "/");
const LEAST = 2; // passes that count, at least; one before them does not

class Unsupported extends Error {}

const isSecret = (given) => given.alg.startsWith("HS");
const header = (given) => ({ kid: given.kid, typ: "at+jwt" });
const split = (token) => token.split(/\.(?=[^.]*$)/);

const CONTESTANTS = {
  // The limit: the signature alone, of bytes that lie ready.
  limit(variant, given) {
    const ready = (token) => split(token).map((part, n) => Buffer.from(part, n ? "base64url" : "utf8"));
    const payloads = (all) =>
      all.map((each) =>
        Buffer.from(
          [{ alg: given.alg, ...header(given) }, each].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join("."),
        ),
      );
    const made = { tokens: (all) => all.map(ready), payloads, judgesClaims: false };
    if (isSecret(given)) {
      const key = createSecretKey(given.secret, "utf8");
      const digest = (data) => createHmac("sha256", key).update(data).digest();
      const check = ([data, signature]) => {
        if (!timingSafeEqual(digest(data), signature)) throw new Error("the signature does not hold");
      };
      return { ...made, verifier: () => check, sign: digest };
    }
    const hash = given.alg === "EdDSA" ? null : "sha256";
    const encoding = given.alg === "ES256" ? { dsaEncoding: "ieee-p1363" } : {};
    const [open, closed] = [createPublicKey(given.public), createPrivateKey(given.private)];
    const [from, to] = [{ key: open, ...encoding }, { key: closed, ...encoding }];
    const check = ([data, signature]) => {
      if (!verify(hash, data, from, signature)) throw new Error("the signature does not hold");
    };
    return { ...made, verifier: () => check, sign: (data) => sign(hash, data, to) };
  },

  // jsonwebtoken: the key as text, as its documentation shows; "object": a KeyObject.
  jsonwebtoken(variant, given) {
    if (given.alg === "EdDSA") throw new Unsupported("has no Ed25519");
    const jwt = require("jsonwebtoken");
    let [open, closed] = isSecret(given) ? [given.secret, given.secret] : [given.public, given.private];
    if (variant === "object" && isSecret(given)) open = closed = createSecretKey(given.secret, "utf8");
    else if (variant === "object") [open, closed] = [createPublicKey(open), createPrivateKey(closed)];
    const options = { algorithms: [given.alg], issuer: given.issuer, audience: given.audience };
    const signing = { algorithm: given.alg, keyid: given.kid, header: { typ: "at+jwt" } };
    return { verifier: () => (token) => jwt.verify(token, open, options), sign: (payload) => jwt.sign(payload, closed, signing) };
  },

  // fast-jwt: it prepares keys by itself. "cache": its cache, with the hash that is its default; "identity": with the token as the key.
  "fast-jwt"(variant, given) {
    const { createSigner, createVerifier } = require("fast-jwt");
    const [open, closed] = isSecret(given) ? [given.secret, given.secret] : [given.public, given.private];
    const cache = variant ? { cache: 10_000, ...(variant === "identity" ? { cacheKeyBuilder: (token) => token } : {}) } : {};
    const options = { key: open, algorithms: [given.alg], allowedIss: given.issuer, allowedAud: given.audience, ...cache };
    const required = { requiredClaims: ["exp", "iss", "aud"] };
    return {
      verifier: () => createVerifier({ ...options, ...required }),
      sign: createSigner({ key: closed, algorithm: given.alg, kid: given.kid, header: { typ: "at+jwt" } }),
    };
  },

  // jose: what its documentation shows is async: a Uint8Array, or a key imported once. "object": a CryptoKey for a secret too.
  async jose(variant, given) {
    const { SignJWT, importPKCS8, importSPKI, jwtVerify } = require("jose");
    let open, closed;
    if (isSecret(given)) {
      open = closed = new TextEncoder().encode(given.secret);
      if (variant === "object") {
        open = closed = await webcrypto.subtle.importKey("raw", open, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
      }
    } else [open, closed] = [await importSPKI(given.public, given.alg), await importPKCS8(given.private, given.alg)];
    const options = { algorithms: [given.alg], issuer: given.issuer, audience: given.audience, requiredClaims: ["exp"] };
    const head = { alg: given.alg, ...header(given) };
    return {
      awaits: true,
      verifier: () => (token) => jwtVerify(token, open, options),
      sign: (payload) => new SignJWT(payload).setProtectedHeader(head).sign(closed),
    };
  },
};

// Microseconds of the processor's time that this process had, with all its threads.
const clock = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

async function pass(call, inputs, awaits) {
  const began = clock();
  if (awaits) for (const each of inputs) await call(each);
  else for (const each of inputs) call(each);
  return clock() - began;
}

// Microseconds of one call: the median of passes over all inputs, each with a new verifier where `make` makes one.
async function timed(make, inputs, seconds, awaits) {
  const spent = [];
  // Texts are new objects, as a request brings them: one that was a key before would bring its hash along.
  const anew = (each) => (typeof each === "string" ? Buffer.from(each).toString("latin1") : each);
  for (let sum = 0; spent.length <= LEAST || sum < seconds * 1e6; sum += spent.at(-1)) {
    spent.push(await pass(make(), inputs.map(anew), awaits));
  }
  const counted = spent.slice(1).sort((a, b) => a - b);
  const middle = counted.length >> 1;
  const median = counted.length % 2 ? counted[middle] : (counted[middle - 1] + counted[middle]) / 2;
  return { "µs": median / inputs.length };
}

let made, tokens, payloads, seen;

async function proved(asked) {
  const check = made.verifier();
  for (let n = 0; n < 2; n++) await check(made.tokens([asked.good])[0]);
  const accepted = [];
  for (const [name, token] of Object.entries(asked.bad)) {
    for (let n = 0; n < 2; n++) {
      try {
        await check(made.tokens([token])[0]);
      } catch {
        continue;
      }
      accepted.push(name);
    }
  }
  const signed = await made.sign(payloads[0]);
  return { accepted, judges_claims: made.judgesClaims, signed: typeof signed === "string" ? signed : "" };
}

async function answer(asked) {
  switch (asked.ask) {
    case "prepare":
      made = { tokens: (all) => all, payloads: (all) => all, judgesClaims: true, ...(await CONTESTANTS[library](asked.variant, asked.given)) };
      [tokens, payloads] = [made.tokens(asked.tokens), made.payloads(asked.payloads)];
      return {};
    case "prove":
      return proved(asked);
    case "new":
      return timed(made.verifier, tokens, asked.seconds, made.awaits);
    case "seen": {
      seen ??= made.verifier();
      const some = tokens.slice(0, asked.tokens);
      const inputs = Array.from({ length: tokens.length }, (_, n) => some[n % some.length]);
      return timed(() => seen, inputs, asked.seconds, made.awaits);
    }
    case "sign":
      return timed(() => made.sign, payloads, asked.seconds, made.awaits);
    default:
      throw new Error(asked.ask);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let told;
  try {
    told = await answer(JSON.parse(line));
  } catch (error) {
    told = error instanceof Unsupported ? { unsupported: error.message } : { error: error.stack };
  }
  process.stdout.write(JSON.stringify(told) + "\n");
}
