// better-auth, which has no refresh token of its own: its session, prolonged at each call (updateAge 0), on PostgreSQL.
// node refresh_better_auth.mjs PORT CLIENTS postgresql://…   Prints a session cookie for each client, as JSON.
import { createServer } from 'node:http';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';
import pg from 'pg';

const [port, clients, place] = process.argv.slice(2);
const options = {
  baseURL: `http://127.0.0.1:${port}`,
  secret: 'of the benchmark, and of nothing else at all',
  database: new pg.Pool({ connectionString: place }),
  // Whose password is asked here is measured nowhere: the sessions are.
  emailAndPassword: { enabled: true, password: { hash: async (text) => text, verify: async ({ hash, password }) => hash === password } },
  session: { updateAge: 0 },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
};
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);
const cookies = [];
for (let n = 0; n < Number(clients); n += 1) {
  const { headers } = await auth.api.signUpEmail({
    body: { email: `user-${Date.now()}-${n}@app.example`, password: 'of the benchmark', name: 'Ada' }, returnHeaders: true,
  });
  cookies.push(headers.getSetCookie().map((cookie) => cookie.split(';')[0]).find((cookie) => cookie.includes('session_token')));
}
createServer(toNodeHandler(auth)).listen(Number(port), '127.0.0.1', () => console.log(JSON.stringify(cookies)));
