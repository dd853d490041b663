// NestJS with @nestjs/passport and passport-jwt, as its documentation shows it: node nest.mjs PORT express|fastify string|key
// `string` is the secret as the documentation has it; `key` the same one as a KeyObject, one line that makes it much faster.
import "reflect-metadata";
import { createSecretKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { Controller, Get, Module, Request, UseGuards } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { AuthGuard, PassportModule, PassportStrategy } from "@nestjs/passport";
import { ExtractJwt, Strategy } from "passport-jwt";

const [port, platform, kind] = process.argv.slice(2);
const { secret, issuer, audience, username } = JSON.parse(readFileSync(new URL("material.json", import.meta.url), "utf8"));

class JwtStrategy extends PassportStrategy(Strategy) {
  constructor() {
    super({
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      ignoreExpiration: false,
      secretOrKey: kind === "key" ? createSecretKey(Buffer.from(secret)) : secret,
      algorithms: ["HS256"],
      issuer,
      audience,
    });
  }

  async validate(payload) {
    return { userId: payload.sub, username: payload.username };
  }
}

class ItemsController {
  guarded(request) {
    return [{ item_id: "Foo", owner: request.user.username }];
  }

  unguarded() {
    return [{ item_id: "Foo", owner: username }];
  }
}
const method = (name) => Object.getOwnPropertyDescriptor(ItemsController.prototype, name);
Request()(ItemsController.prototype, "guarded", 0);
UseGuards(AuthGuard("jwt"))(ItemsController.prototype, "guarded", method("guarded"));
Get("guarded")(ItemsController.prototype, "guarded", method("guarded"));
Get("open")(ItemsController.prototype, "unguarded", method("unguarded"));
Controller()(ItemsController);

class AppModule {}
Module({ imports: [PassportModule], controllers: [ItemsController], providers: [JwtStrategy] })(AppModule);

const adapter = platform === "fastify" ? [new (await import("@nestjs/platform-fastify")).FastifyAdapter()] : [];
const app = await NestFactory.create(AppModule, ...adapter, { logger: ["error", "warn"] });
await app.listen(port, "127.0.0.1");
