-- Stands in front of each script: the moment that it is told in eight bytes; '' for the server's own.
local function moment_of(told)
    if told == '' then
        local time = redis.call('TIME')
        return tonumber(time[1]) + tonumber(time[2]) / 1000000
    end
    return (struct.unpack('>d', told))
end
