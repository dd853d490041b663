// Fastify with @fastify/jwt, as its documentation shows it: node fastify.mjs PORT cache|plain
// `cache` is its own cache of verified tokens, one option that makes it faster.
import { readFileSync } from "node:fs";
import jwt from "@fastify/jwt";
import Fastify from "fastify";

const [port, kind] = process.argv.slice(2);
const { secret, issuer, audience, username } = JSON.parse(readFileSync(new URL("material.json", import.meta.url), "utf8"));

const fastify = Fastify();
fastify.register(jwt, {
  secret,
  verify: { algorithms: ["HS256"], allowedIss: issuer, allowedAud: audience, cache: kind === "cache" },
});
fastify.decorate("authenticate", async (request, reply) => {
  try {
    await request.jwtVerify();
  } catch (error) {
    reply.send(error);
  }
});
fastify.after(() => {
  fastify.get("/guarded", { onRequest: [fastify.authenticate] }, async (request) => [{ item_id: "Foo", owner: request.user.username }]);
  fastify.get("/open", async () => [{ item_id: "Foo", owner: username }]);
});
await fastify.listen({ port: Number(port), host: "127.0.0.1" });
