// A NestJS application whose routes are guarded with passport-jwt, and whose keys come through jwks-rsa: one strategy, one route.
// It knows no test: what each strategy expects is in the file that it is started with. `jwt` is the strategy that the docs show.
import "reflect-metadata";
import { readFileSync } from "node:fs";
import { Controller, Get, Module, Request, UnauthorizedException, UseGuards } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { AuthGuard, PassportModule, PassportStrategy } from "@nestjs/passport";
import { passportJwtSecret } from "jwks-rsa";
import { ExtractJwt, Strategy } from "passport-jwt";
import { JwtStrategy } from "./strategy.mjs";

const { port, strategies } = JSON.parse(readFileSync(process.argv[2], "utf8"));

function expecting(name, { jwksUri, cacheMaxAge, ...expected }) {
  return class extends PassportStrategy(Strategy, name) {
    constructor() {
      super({
        jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
        secretOrKeyProvider: passportJwtSecret({ jwksUri, cache: true, cacheMaxAge, rateLimit: true }),
        ...expected,
      });
    }

    validate(payload) {
      return { userId: payload.sub };
    }
  };
}

// The guard's own 401 gives no reason; this one does, so that a test sees which check refused.
function guarding(name) {
  return class extends AuthGuard(name) {
    handleRequest(error, user, info) {
      if (error || !user) throw error ?? new UnauthorizedException(info?.message);
      return user;
    }
  };
}

function guarded(name) {
  class ProfileController {
    profile(request) {
      return request.user;
    }
  }
  const profile = Object.getOwnPropertyDescriptor(ProfileController.prototype, "profile");
  Request()(ProfileController.prototype, "profile", 0);
  UseGuards(guarding(name))(ProfileController.prototype, "profile", profile);
  Get("profile")(ProfileController.prototype, "profile", profile);
  Controller(name)(ProfileController);
  return ProfileController;
}

class AppModule {}
Module({
  imports: [PassportModule],
  controllers: ["jwt", ...Object.keys(strategies)].map(guarded),
  providers: [JwtStrategy, ...Object.entries(strategies).map(([name, expected]) => expecting(name, expected))],
})(AppModule);

const app = await NestFactory.create(AppModule);
await app.listen(port, "127.0.0.1");
