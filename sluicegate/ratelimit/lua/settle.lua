-- Say what became of the tokens of a lease. One round trip; O(tokens of the lease).
--
-- All instants and durations are whole microseconds; instants are the server's own TIME. Keys as in acquire.lua.
--
-- KEYS[1]   bucket (hash) of the first bucket of the lease, which `observed` concerns
-- KEYS[b+1] flight (zset) of bucket b = 1, 2, ...
--
-- ARGV[1]    lease id        ARGV[2] instant from which the lease was allowed to send        ARGV[3] 1: it was sent
-- ARGV[4]    limit observed, 0: none        ARGV[5] remaining observed, -1: none
-- ARGV[6]    how long to believe the limit  ARGV[7] keep (TTL at least)
-- ARGV[2b+6] window  ARGV[2b+7] cost, for bucket b = 1, 2, ...
--
-- Returns the number of tokens taken out because someone else uses this quota.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local lease_id, ready, was_sent = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local limit, remaining, believe = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local keep = tonumber(ARGV[7])

-- Give a key a TTL of at least `least` beyond `keep`; never shorten one.
local function live_on(key, least)
  local ttl = math.ceil((keep + least) / 1000)
  if redis.call('PEXPIRE', key, ttl, 'GT') == 0 then
    redis.call('PEXPIRE', key, ttl, 'NX')
  end
end

-- Let `count` tokens of an owner come back at an instant; those that their lease let go too early are taken again.
local function put(flight, owner, count, at)
  local tokens = {}
  for i = 1, count do
    tokens[2 * i - 1] = at
    tokens[2 * i] = owner .. ':' .. i
  end
  redis.call('ZADD', flight, unpack(tokens))
end

-- Give back what was not sent.
local function give_back(flight, count)
  for i = 1, count do
    redis.call('ZREM', flight, lease_id .. ':' .. i)
  end
end

-- Take the exchange's limit for the bucket's, if it is news.
local function learn(bucket)
  local known = redis.call('HMGET', bucket, 'learned', 'learned_until')
  if tonumber(known[1] or 0) ~= limit or tonumber(known[2] or 0) < now + believe / 2 then
    redis.call('HSET', bucket, 'learned', limit, 'learned_until', now + believe)
    live_on(bucket, believe)
  end
end

-- Take out what the exchange counted and we cannot explain. It counted requests that arrived within the window
-- before it answered. Ours among them were in flight when this request left, or later (a token returns one window
-- after its answer, so after its arrival); requests of ours that have not arrived yet, or wait, only make this number larger.
local function take_out_foreign(flight, window)
  local explained = redis.call('ZCOUNT', flight, ready + 1, '+inf')
  local foreign = math.max(0, limit - remaining - explained)
  if foreign > 0 then
    put(flight, '~' .. lease_id, foreign, now + window)
  end
  return foreign
end

local foreign = 0
for b = 1, #KEYS - 1 do
  local flight, window, cost = KEYS[b + 1], tonumber(ARGV[2 * b + 6]), tonumber(ARGV[2 * b + 7])
  if was_sent then
    put(flight, lease_id, cost, math.max(now, ready) + window)
    live_on(flight, math.max(now, ready) - now + 2 * window)
    if b == 1 and limit > 0 then
      learn(KEYS[1])
      if remaining >= 0 then
        foreign = take_out_foreign(flight, window)
      end
    end
  else
    give_back(flight, cost)
  end
end
return foreign
