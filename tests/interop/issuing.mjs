// A NestJS application that signs tokens as the documentation of @nestjs/jwt shows: one module for each set of options, with one route.
// It knows no test: what JwtModule.register gets is in the file that it is started with.
import "reflect-metadata";
import { readFileSync } from "node:fs";
import { Body, Controller, Inject, Module, Post } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { JwtModule, JwtService } from "@nestjs/jwt";

const { port, modules } = JSON.parse(readFileSync(process.argv[2], "utf8"));

// Without a compiler decorators are functions that one calls.
function signing(name, options) {
  class AuthController {
    constructor(jwtService) {
      this.jwtService = jwtService;
    }

    async login({ username, userId, signOptions, unsigned }) {
      const payload = { username, sub: userId };
      // signAsync never answers for the algorithm none.
      if (unsigned) return { access_token: this.jwtService.sign(payload, { ...signOptions, algorithm: "none" }) };
      return { access_token: await this.jwtService.signAsync(payload, signOptions) };
    }
  }
  const login = Object.getOwnPropertyDescriptor(AuthController.prototype, "login");
  Inject(JwtService)(AuthController, undefined, 0);
  Body()(AuthController.prototype, "login", 0);
  Post("login")(AuthController.prototype, "login", login);
  Controller(name)(AuthController);

  class AuthModule {}
  Module({ imports: [JwtModule.register(options)], controllers: [AuthController] })(AuthModule);
  return AuthModule;
}

class AppModule {}
Module({ imports: Object.entries(modules).map(([name, options]) => signing(name, options)) })(AppModule);

const app = await NestFactory.create(AppModule);
await app.listen(port, "127.0.0.1");
