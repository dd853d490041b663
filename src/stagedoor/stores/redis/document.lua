-- One small document, a hash with version and content, KEYS[1]. ARGV: the version that its writer has seen ('0': none), the new content.
-- The answer: 1 where it is written, now or by this same call, whose answer was lost; 0 where somebody else was faster.
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
local seen = tonumber(ARGV[1])
if version == seen then
    redis.call('HSET', KEYS[1], 'version', seen + 1, 'content', ARGV[2])
    return 1
end
if version == seen + 1 and redis.call('HGET', KEYS[1], 'content') == ARGV[2] then
    return 1
end
return 0
