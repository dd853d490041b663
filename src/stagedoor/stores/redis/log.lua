-- The log of what was ended: a stream of records, KEYS[1]; and a hash in the same slot, KEYS[2], with its name, the number of its last
-- record, how long access tokens live, and what is revoked of whole issuers, which outlives the stream.
-- A record is a head of fixed width, then its names (see records.py). ARGV: verb, moment as eight bytes ('': the server's own), what
-- the verb needs. MARGIN, AHEAD, EXPECTED and moment_of stand in front of this text.
local LOG, ABOUT = KEYS[1], KEYS[2]
local HEAD = '>Bddd'
local SIZE = struct.size(HEAD)
local SESSION, KEY, ISSUER = 1, 2, 3
local CLEANED_AT_ONCE = 8

local verb, moment = ARGV[1], ARGV[2]
local now = moment_of(moment)

local function number(position)
    return string.format('%.0f', position)
end

local function position_of(entry)
    return tonumber(string.match(entry[1], '^%d+'))
end

-- Have a name, unless the log has one, and the longest life that anybody has told of; `told` is the caller's, 0 where it knows none.
local function begin(name, told)
    if redis.call('HSETNX', ABOUT, 'name', name) == 1 then
        local last = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
        if last then -- the hash alone was lost: the stream goes on where it ends
            redis.call('HSET', ABOUT, 'end', number(position_of(last)))
        end
    end
    local kept = redis.call('HGET', ABOUT, 'life')
    local life = kept and struct.unpack('>d', kept) or 0
    local longer = struct.unpack('>d', told)
    if longer > life then
        life = longer
        redis.call('HSET', ABOUT, 'life', told)
    end
    return life > 0 and life or EXPECTED
end

-- Drop the first records that are over. One that lives longer holds up those behind it, until it is over as well.
local function trim()
    local first, keep
    for _, entry in ipairs(redis.call('XRANGE', LOG, '-', '+', 'COUNT', CLEANED_AT_ONCE)) do
        first, keep = first or entry[1], entry[1]
        local raw = entry[2][2]
        if #raw >= SIZE then
            local _, ends = struct.unpack(HEAD, raw)
            if ends > now then
                break
            end
        end
    end
    if keep ~= first then
        redis.call('XTRIM', LOG, 'MINID', keep)
    end
end

local function append(kind, ends, names)
    local position = redis.call('HINCRBY', ABOUT, 'end', 1)
    local head = struct.pack(HEAD, kind, ends, now, 0)
    redis.call('XADD', LOG, number(position), 'r', head .. names)
    local stays = math.max(1, math.ceil((ends - now) * 1000))
    if redis.call('PTTL', LOG) < stays then
        redis.call('PEXPIRE', LOG, number(stays))
    end
    trim()
    return head, position
end

local verbs = {}

function verbs.expect(name, told)
    return { struct.pack('>d', begin(name, told)) }
end

function verbs.sessions(name, told, names)
    local life = begin(name, told)
    return { struct.pack('>d', life), (append(SESSION, now + life + MARGIN, names)) }
end

function verbs.key(name, told, kid)
    local life = begin(name, told)
    return { struct.pack('>d', life), (append(KEY, now + life + MARGIN, kid)) }
end

-- What is in the hash counts; the stream has a record without a name, which wakes up who waits and says where the other belongs.
function verbs.issuer(name, told, issuer, keep)
    local life = begin(name, told)
    local all = redis.call('HGETALL', ABOUT)
    local ends, through = now + struct.unpack('>d', keep), math.floor(now) + 1 + AHEAD
    for i = 1, #all, 2 do
        if string.sub(all[i], 1, 1) == '=' then
            local _, _, known_ends, _, known_through = struct.unpack('>d' .. string.sub(HEAD, 2), all[i + 1])
            if all[i] == '=' .. issuer then -- the clock may have gone back: nothing is taken back
                ends, through = math.max(ends, known_ends), math.max(through, known_through)
            elseif known_ends <= now then
                redis.call('HDEL', ABOUT, all[i])
            end
        end
    end
    local _, position = append(ISSUER, now + MARGIN, '')
    local head = struct.pack(HEAD, ISSUER, ends, now, through)
    redis.call('HSET', ABOUT, '=' .. issuer, struct.pack('>d', position) .. head)
    return { struct.pack('>d', life), head }
end

-- The records after this position of the log, so many at the most; from the beginning, where this is another log, or shorter. Beside its
-- name a log is known by the history of its data: a server that was restarted, or promoted, may have lost the last of it.
function verbs.read(log, position, most)
    local said = redis.call('INFO', 'replication')
    local history = string.match(said, 'master_replid:(%x+)')
    if not string.find(said, 'role:master', 1, true) or not history then
        return redis.error_reply('ERR this Redis is a replica, which may know less than its master')
    end
    local about, all = {}, redis.call('HGETALL', ABOUT)
    for i = 1, #all, 2 do
        about[all[i]] = all[i + 1]
    end
    local own = (about.name or '') .. '-' .. history
    local from, last = tonumber(position), tonumber(about['end'] or '0')
    if log ~= own or from > last then
        from = 0
    end
    local records = {}
    for name, value in pairs(about) do
        if string.sub(name, 1, 1) == '=' then
            local at, _, ends = struct.unpack('>d' .. string.sub(HEAD, 2), value)
            if at > from and not (ends <= now) then -- where it has no moment, none is over
                records[#records + 1] = string.sub(value, 9) .. string.sub(name, 2)
            end
        end
    end
    local entries = redis.call('XRANGE', LOG, number(from + 1), '+', 'COUNT', most)
    for _, entry in ipairs(entries) do
        records[#records + 1] = entry[2][2]
    end
    local is_all = #entries < tonumber(most)
    if not is_all then
        last = position_of(entries[#entries])
    elseif #entries > 0 then
        last = math.max(last, position_of(entries[#entries]))
    end
    return { own, number(last), is_all and 1 or 0, struct.pack('>d', now), records }
end

return verbs[verb](unpack(ARGV, 3))
