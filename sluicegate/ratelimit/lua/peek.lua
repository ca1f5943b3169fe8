-- Show buckets as they stand. One round trip; O(log tokens) a bucket.
--
-- All instants and durations are whole microseconds; instants are the server's own TIME. Keys as in acquire.lua.
--
-- KEYS[1] epoch (string)    KEYS[2] names (set)
-- KEYS[2b+1] bucket (hash), KEYS[2b+2] flight (zset), for bucket b = 1, 2, ...
-- ARGV[b] name of bucket b
--
-- Returns for each bucket {limit, in flight, blocked for, window}; {} for one that nobody used for so long that its keys
-- are gone, which is struck off the list of names.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local epoch = tonumber(redis.call('GET', KEYS[1]) or now)

local states = {}
for b = 1, #KEYS / 2 - 1 do
  local f = redis.call('HMGET', KEYS[2 * b + 1], 'limit', 'window', 'learned', 'learned_until', 'blocked_until')
  if f[1] then
    local limit = tonumber(tonumber(f[4] or 0) > now and f[3] or f[1])
    local in_flight = redis.call('ZCOUNT', KEYS[2 * b + 2], now + 1, '+inf')
    local gate = math.max(now, epoch + f[2], tonumber(f[5] or 0))
    states[b] = {limit, in_flight, gate - now, tonumber(f[2])}
  else
    redis.call('SREM', KEYS[2], ARGV[b])
    states[b] = {}
  end
end
return states
