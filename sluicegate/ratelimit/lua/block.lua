-- Let nothing through a bucket for a while; the longer of this and an earlier block wins. One round trip; O(tokens
-- that others use).
--
-- All instants and durations are whole microseconds; instants are the server's own TIME. Keys as in acquire.lua.
--
-- KEYS[1] names (set)    KEYS[2] bucket (hash)    KEYS[3] flight (zset)
-- ARGV[1] name    ARGV[2] limit    ARGV[3] window    ARGV[4] for how long    ARGV[5] keep (TTL at least)
-- ARGV[6] 1: the exchange refused a request that had its tokens: either it came too early, so the margin grows (see
--         arrival.py), or someone else spends this quota, so one token more is theirs (settle.lua)
-- ARGV[7] narrowing    ARGV[8] least and ARGV[9] largest addition to the margin    ARGV[10] how long tokens are theirs
--
-- Returns the time until the block ends.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local f = redis.call('HMGET', KEYS[2], 'blocked_until', 'widened', 'widened_at', 'learned', 'learned_until')
local blocked_until = math.max(now + ARGV[4], tonumber(f[1] or 0))
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'limit', ARGV[2], 'window', ARGV[3], 'blocked_until', blocked_until)

-- Give a key a TTL of at least so long; never shorten one.
local function live_on(key, least)
  local ttl = math.ceil(least / 1000)
  if redis.call('PEXPIRE', key, ttl, 'GT') == 0 then
    redis.call('PEXPIRE', key, ttl, 'NX')
  end
end

if ARGV[6] == '1' then
  local theirs = tonumber(f[1] or 0) > now and 0 or 1  -- refused while it is blocked: that is told already
  local limit, out = tonumber(f[5] or 0) > now and f[4] or ARGV[2], 0
  while tonumber(redis.call('ZSCORE', KEYS[3], '~:' .. out + 1) or 0) > now do
    out = out + 1
  end
  for i = 1, math.min(out + theirs, limit - 1) do  -- one stays ours, to learn by it
    redis.call('ZADD', KEYS[3], 'GT', now + ARGV[10], '~:' .. i)
    live_on(KEYS[3], ARGV[5] + ARGV[10])
  end
  local left = math.floor(tonumber(f[2] or 0) / 2 ^ math.max(0, math.floor((now - (f[3] or 0)) / ARGV[7])))
  local widened = math.min(tonumber(ARGV[9]), math.max(tonumber(ARGV[8]), 2 * left))
  redis.call('HSET', KEYS[2], 'widened', widened, 'widened_at', now)
end

live_on(KEYS[2], ARGV[5] + blocked_until - now)
return blocked_until - now
