-- Let nothing through a bucket for a while; the longer of this and an earlier block wins. One round trip; O(1).
--
-- All instants and durations are whole microseconds; instants are the server's own TIME. Keys as in acquire.lua.
--
-- KEYS[1] names (set)    KEYS[2] bucket (hash)
-- ARGV[1] name    ARGV[2] limit    ARGV[3] window    ARGV[4] for how long    ARGV[5] keep (TTL at least)
--
-- Returns the time until the block ends.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local blocked_until = math.max(now + ARGV[4], tonumber(redis.call('HGET', KEYS[2], 'blocked_until') or 0))
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'limit', ARGV[2], 'window', ARGV[3], 'blocked_until', blocked_until)

local ttl = math.ceil((ARGV[5] + blocked_until - now) / 1000)
if redis.call('PEXPIRE', KEYS[2], ttl, 'GT') == 0 then
  redis.call('PEXPIRE', KEYS[2], ttl, 'NX')
end
return blocked_until - now
