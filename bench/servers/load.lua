-- For wrk: what it prints at the end is for bench/load.py to read; and, where a file of tokens is named, each request has the next token
-- and the next path.
--   wrk … -s load.lua URL [-- FILE PATH…]
local tokens, count = {}, 0

function init(args)
  if #args == 0 then return end
  for token in io.lines(args[1]) do
    tokens[#tokens + 1] = token
  end
  local before, after = {}, "\r\n\r\n"
  for n = 2, #args do
    before[n - 1] = "GET " .. args[n] .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\nAuthorization: Bearer "
  end
  -- wrk asks for each request only where there is such a function.
  request = function()
    count = count + 1
    return before[count % #before + 1] .. tokens[count % #tokens + 1] .. after
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  local wrong = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local p50, p99 = latency:percentile(50), latency:percentile(99)
  io.write(string.format("found %d %d %d %d %d\n", summary.requests, summary.duration, p50, p99, wrong))
end
