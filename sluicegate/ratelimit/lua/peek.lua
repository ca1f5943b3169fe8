-- Show all buckets as they stand. One round trip; O(log tokens) a bucket.
--
-- All instants and durations are whole microseconds; instants are the server's own TIME. Keys as in acquire.lua.
--
-- KEYS[1] epoch (string)     KEYS[2] names (set)
-- ARGV[1] beginning of the buckets' keys, ARGV[2] of their flights': all have the hash tag of KEYS (docs/adr/0003),
-- so they are where this script runs, also in a cluster.
--
-- Returns for each bucket {name, limit, in flight, blocked for, window}. One that nobody used for so long that its
-- keys are gone is struck off the list of names.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local epoch = tonumber(redis.call('GET', KEYS[1]) or now)

local states = {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local f = redis.call('HMGET', ARGV[1] .. name, 'limit', 'window', 'learned', 'learned_until', 'blocked_until')
  if f[1] then
    local limit = tonumber(tonumber(f[4] or 0) > now and f[3] or f[1])
    local in_flight = redis.call('ZCOUNT', ARGV[2] .. name, now + 1, '+inf')
    local gate = math.max(now, epoch + f[2], tonumber(f[5] or 0))
    states[#states + 1] = {name, limit, in_flight, gate - now, tonumber(f[2])}
  else
    redis.call('SREM', KEYS[2], name)
  end
end
return states
