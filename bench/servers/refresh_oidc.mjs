// oidc-provider with rotation: node refresh_oidc.mjs PORT CLIENTS memory|redis://… [openid]. Prints a refresh token for each client, as JSON.
// With openid in the scope an answer has an id_token, signed with RS256, beside the opaque access token; without it, none.
import { generateKeyPairSync } from 'node:crypto';
import { Redis } from 'ioredis';
import { Provider } from 'oidc-provider';

const [port, clients, place, openid] = process.argv.slice(2);
const scope = openid ? 'openid offline_access' : 'offline_access';

// What oidc-provider asks of an adapter, on Redis: one string for what is never consumed, a hash for what may be, a list for each grant.
const redis = place === 'memory' ? undefined : new Redis(place);
const consumable = new Set(['AuthorizationCode', 'RefreshToken', 'DeviceCode', 'BackchannelAuthenticationRequest']);
const granted = new Set([...consumable, 'AccessToken']);
const grantKey = (id) => `bench:grant:${id}`;
class RedisAdapter {
  constructor(name) { this.name = name; }
  key(id) { return `bench:${this.name}:${id}`; }
  async upsert(id, payload, expiresIn) {
    const key = this.key(id);
    const multi = redis.multi();
    const text = JSON.stringify(payload);
    if (consumable.has(this.name)) multi.hset(key, { payload: text }); else multi.set(key, text);
    if (expiresIn) multi.expire(key, expiresIn);
    if (granted.has(this.name) && payload.grantId) {
      multi.rpush(grantKey(payload.grantId), key);
      multi.expire(grantKey(payload.grantId), 30 * 86400); // the longest of them: no look at what is left
    }
    await multi.exec();
  }
  async find(id) {
    if (!consumable.has(this.name)) {
      const text = await redis.get(this.key(id));
      return text ? JSON.parse(text) : undefined;
    }
    const { payload, ...rest } = await redis.hgetall(this.key(id));
    return payload ? { ...rest, ...JSON.parse(payload) } : undefined;
  }
  async findByUid() { return undefined; }
  async findByUserCode() { return undefined; }
  async consume(id) { await redis.hset(this.key(id), 'consumed', Math.floor(Date.now() / 1000)); }
  async destroy(id) { await redis.del(this.key(id)); }
  async revokeByGrantId(id) {
    const keys = await redis.lrange(grantKey(id), 0, -1);
    await redis.del(grantKey(id), ...keys);
  }
}

// Its own adapter in memory keeps the latest thousand entries, and whoever is idle meanwhile is logged out. This one keeps all.
const kept = new Map(), grants = new Map();
class MemoryAdapter {
  constructor(name) { this.name = name; }
  key(id) { return `${this.name}:${id}`; }
  async upsert(id, payload) {
    const key = this.key(id);
    kept.set(key, payload);
    if (granted.has(this.name) && payload.grantId) {
      if (!grants.has(payload.grantId)) grants.set(payload.grantId, new Set());
      grants.get(payload.grantId).add(key);
    }
  }
  async find(id) { return kept.get(this.key(id)); }
  async findByUid() { return undefined; }
  async findByUserCode() { return undefined; }
  async consume(id) { kept.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { kept.delete(this.key(id)); }
  async revokeByGrantId(id) {
    for (const key of grants.get(id) ?? []) kept.delete(key);
    grants.delete(id);
  }
}

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: redis ? RedisAdapter : MemoryAdapter,
  clients: [{
    client_id: 'bench', token_endpoint_auth_method: 'none', redirect_uris: ['https://app.example/back'],
    grant_types: ['authorization_code', 'refresh_token'],
  }],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'bench' }] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  cookies: { keys: ['of the benchmark'] },
  ttl: { RefreshToken: 30 * 86400, Grant: 30 * 86400, AccessToken: 900, IdToken: 900 },
});
const client = await provider.Client.find('bench');
const tokens = [];
for (let n = 0; n < Number(clients); n += 1) {
  const accountId = `user-${n}`;
  const grant = new provider.Grant({ accountId, clientId: 'bench' });
  grant.addOIDCScope(scope);
  const grantId = await grant.save();
  const token = new provider.RefreshToken({ accountId, client, grantId, scope, gty: 'authorization_code', authTime: Math.floor(Date.now() / 1000), claims: {} });
  tokens.push(await token.save());
}
provider.listen(Number(port), '127.0.0.1', () => console.log(JSON.stringify(tokens)));
