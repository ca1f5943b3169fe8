-- Let nothing through a bucket for a while; the longer of this and an earlier block wins. One round trip; O(1).
--
-- All instants and durations are whole microseconds; instants are the server's own TIME. Keys as in acquire.lua.
--
-- KEYS[1] names (set)    KEYS[2] bucket (hash)
-- ARGV[1] name    ARGV[2] limit    ARGV[3] window    ARGV[4] for how long    ARGV[5] keep (TTL at least)
-- ARGV[6] 1: the exchange refused a request that had its tokens, so the margin grows: see arrival.py
-- ARGV[7] narrowing    ARGV[8] least and ARGV[9] largest addition to the margin
--
-- Returns the time until the block ends.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local f = redis.call('HMGET', KEYS[2], 'blocked_until', 'widened', 'widened_at')
local blocked_until = math.max(now + ARGV[4], tonumber(f[1] or 0))
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'limit', ARGV[2], 'window', ARGV[3], 'blocked_until', blocked_until)

if ARGV[6] == '1' then
  local left = math.floor(tonumber(f[2] or 0) / 2 ^ math.max(0, math.floor((now - (f[3] or 0)) / ARGV[7])))
  local widened = math.min(tonumber(ARGV[9]), math.max(tonumber(ARGV[8]), 2 * left))
  redis.call('HSET', KEYS[2], 'widened', widened, 'widened_at', now)
end

local ttl = math.ceil((ARGV[5] + blocked_until - now) / 1000)
if redis.call('PEXPIRE', KEYS[2], ttl, 'GT') == 0 then
  redis.call('PEXPIRE', KEYS[2], ttl, 'NX')
end
return blocked_until - now
