-- One session is one string under one key: a head of fixed width, then attempt, ending, subject and what never changes (see row.py).
-- Doubles travel as eight bytes, in and out: Redis would cut a Lua number down to an integer.
-- KEYS[1] is the session. ARGV: verb, moment ('': the server's own), what the verb needs. The answer: word, moment, row or false.
-- The table is stagedoor.session.decide and written, line by line; KEPT_DEAD, RECOVERABLE and moment_of stand in front of this text.
local HEAD = '>BI4I4dddddc32c32BI4I4I4'
local SIZE = struct.size(HEAD)
local FORM = 1

local verb, moment = ARGV[1], ARGV[2]
local now = moment_of(moment)

local function is_set(time) -- not-a-number stands for "never"
    return time == time
end

local function parse(raw)
    if #raw < SIZE or string.byte(raw) ~= FORM then
        return nil
    end
    local row = { raw = raw }
    local form, attempt, ending, subject, fixed
    form, row.generation, row.pepper_id, row.created_at, row.rotated_at, row.idle_ends_at, row.absolute_ends_at, row.revoked_at,
        row.digest, row.seed, attempt, ending, subject, fixed = struct.unpack(HEAD, raw)
    if #raw ~= SIZE + attempt + ending + subject + fixed then
        return nil
    end
    local at = SIZE
    local function take(size)
        at = at + size
        return string.sub(raw, at - size + 1, at)
    end
    row.attempt, row.ending, row.subject, row.fixed = take(attempt), take(ending), take(subject), take(fixed)
    return row
end

local function read()
    local raw = redis.pcall('GET', KEYS[1])
    if not raw then
        return nil, 'none'
    elseif type(raw) == 'table' then
        if string.find(raw.err, 'WRONGTYPE', 1, true) then
            return nil, 'unreadable'
        end
        error(raw.err)
    end
    local row = parse(raw)
    if not row then
        return nil, 'unreadable'
    end
    if now >= row.absolute_ends_at + KEPT_DEAD then -- where time is told and not the server's, no expiry has come yet
        return nil, 'none'
    end
    return row, 'row'
end

local function write(row)
    row.raw = struct.pack(HEAD, FORM, row.generation, row.pepper_id, row.created_at, row.rotated_at, row.idle_ends_at,
        row.absolute_ends_at, row.revoked_at, row.digest, row.seed, #row.attempt, #row.ending, #row.subject, #row.fixed)
        .. row.attempt .. row.ending .. row.subject .. row.fixed
    local ends = is_set(row.revoked_at) and row.revoked_at or math.min(row.idle_ends_at, row.absolute_ends_at)
    local stays = math.max(1, math.ceil((ends + KEPT_DEAD - now) * 1000))
    redis.call('SET', KEYS[1], row.raw, 'PX', string.format('%.0f', stays))
end

local function is_live(row)
    return not is_set(row.revoked_at) and now < row.idle_ends_at and now < row.absolute_ends_at
end

local function is_young(row, window)
    return is_set(row.rotated_at) and now - row.rotated_at < window
end

local function decide(row, presented)
    if is_set(row.revoked_at) then
        return 'revoked'
    elseif not is_live(row) then
        return 'expired'
    end
    local young = is_young(row, presented.window)
    if row.generation == presented.generation and row.digest == presented.digest then
        return young and 'kept' or 'rotated'
    end
    if row.generation == presented.generation + 1 and row.digest == presented.successor then
        if young or (presented.attempt ~= '' and presented.attempt == row.attempt) then
            return 'replayed'
        end
    end
    if row.generation > presented.generation then
        return 'behind'
    elseif row.generation < presented.generation and presented.generation <= row.generation + RECOVERABLE then
        return 'ahead'
    end
    return 'unknown'
end

local function end_session(row, ending)
    row.revoked_at, row.ending = now, ending
    write(row)
end

local function presented_from(packed, attempt)
    local p = { attempt = attempt }
    p.generation, p.pepper_id, p.successor_pepper_id, p.window, p.idle, p.digest, p.successor =
        struct.unpack('>I4I4I4ddc32c32', packed)
    return p
end

local verbs = {}

-- A session that stands already is this call's own, repeated because its answer was lost: it stays as it is, ended perhaps.
function verbs.open(row, word, raw, told)
    if row then
        return row, 'opened'
    end
    row = parse(raw)
    if moment == '' then
        local ahead = now - struct.unpack('>d', told)
        row.created_at = row.created_at + ahead
        row.idle_ends_at = row.idle_ends_at + ahead
        row.absolute_ends_at = row.absolute_ends_at + ahead
    end
    write(row)
    return row, 'opened'
end

function verbs.get(row, word)
    return row, word
end

function verbs.rotate(row, word, packed, attempt)
    if not row then
        return row, word
    end
    local presented = presented_from(packed, attempt)
    local outcome = decide(row, presented)
    if outcome == 'rotated' then
        row.generation = presented.generation + 1
        row.digest = presented.successor
        row.pepper_id = presented.successor_pepper_id
        row.rotated_at = now
        row.attempt = attempt
        row.idle_ends_at = math.min(now + presented.idle, row.absolute_ends_at)
        write(row)
    elseif outcome == 'replayed' and not is_young(row, presented.window) then
        row.rotated_at = now
        write(row)
    end
    return row, outcome
end

-- The condition is the whole table again. `ending` opens with the name of the call: one whose answer was lost knows its own work.
function verbs.settle(row, word, packed, attempt, outcome, ending)
    if not row then
        return row, word
    end
    local presented = presented_from(packed, attempt)
    local stands = decide(row, presented)
    if outcome == 'reused' and stands == 'behind' then
        end_session(row, ending)
    elseif outcome == 'recovered' and stands == 'ahead' then
        row.generation, row.digest, row.pepper_id, row.rotated_at =
            presented.generation, presented.digest, presented.pepper_id, now
        write(row)
    elseif outcome ~= 'reused' or row.ending ~= ending then
        return row, 'stands'
    end
    return row, 'done'
end

-- `subject` is '' for anybody's, else '=' and the subject.
function verbs.revoke(row, word, ending, subject)
    if not row then
        return row, word
    elseif subject ~= '' and subject ~= '=' .. row.subject then
        return row, 'foreign'
    elseif not is_set(row.revoked_at) then
        local lived = is_live(row) -- an expired one is marked as well: were the clock set back, it would live again
        end_session(row, ending)
        return row, lived and 'done' or 'stands'
    elseif row.ending ~= ending then
        return row, 'stands'
    end
    return row, 'done'
end

-- Writes what is there, so that WAIT on this connection has something to wait for.
function verbs.touch(row, word)
    if row then
        redis.call('SET', KEYS[1], row.raw, 'KEEPTTL')
    end
    return row, word
end

local found, word = read()
local row, answer = verbs[verb](found, word, unpack(ARGV, 3))
return { answer, struct.pack('>d', now), row and row.raw or false }
