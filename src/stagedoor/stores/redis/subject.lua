-- The sessions of one subject: a sorted set of their ids in the order of login, KEYS[1].
-- ARGV: verb, moment as eight bytes ('': the server's own), what the verb needs. The answer: moment, then id and score in turn.
local verb, moment = ARGV[1], ARGV[2]
local now = moment_of(moment)

local entries = {}
if verb == 'enter' then
    -- Milliseconds, and each later than all before, whatever the clock did: all who keep the limit agree on who is the oldest.
    local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
    local score = math.max(math.floor(now * 1000), (tonumber(last[2]) or 0) + 1)
    redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', score), ARGV[3])
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
        redis.call('PEXPIRE', KEYS[1], ARGV[4])
    end
else
    local size, newest, oldest = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[4]), tonumber(ARGV[5])
    if newest >= 0 and size > newest + oldest then
        entries = redis.call('ZRANGE', KEYS[1], 0, oldest - 1, 'WITHSCORES')
        for _, each in ipairs(redis.call('ZRANGE', KEYS[1], -newest, -1, 'WITHSCORES')) do
            entries[#entries + 1] = each
        end
    elseif size > tonumber(ARGV[3]) then
        entries = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
    end
end
table.insert(entries, 1, struct.pack('>d', now))
return entries
