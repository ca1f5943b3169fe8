-- Say what became of the tokens of a lease. One round trip; O(tokens of the lease), amortised.
--
-- All instants and durations are whole microseconds; instants are the server's own TIME. Keys as in acquire.lua.
--
-- KEYS[1]   venue (hash)  what is known of the way to the exchange: see arrival.py
--             since, lowest, agreed, lowest_before, agreed_before, spread
-- KEYS[2]   bucket (hash) of the first bucket of the lease, which `observed` and the exchange's time concern
-- KEYS[b+2] flight (zset) of bucket b = 1, 2, ...
--
-- ARGV[1]   lease id
-- ARGV[2]   doubles, packed: ready, was sent, limit observed (0: none), remaining observed (-1: none), how long to
--           believe the limit, keep (TTL at least), exchange's time (0: not told), left after ready, margin,
--           confirmations, doubt, memory, period, resolution, narrowing, lease; window and cost of each bucket
--
-- Returns the number of tokens that someone else uses of this quota.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local lease_id = ARGV[1]
local numbers = {struct.unpack('<' .. string.rep('d', #ARGV[2] / 8), ARGV[2])}
local ready, was_sent, limit, remaining, believe, keep = unpack(numbers, 1, 6)
local exchange, left_after, margin = unpack(numbers, 7, 9)
local confirmations, doubt, memory, period, resolution, narrowing, lease = unpack(numbers, 10, 16)

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

-- Give back what was not sent: as if it had returned long ago, so that the key never vanishes with its TTL.
local function give_back(flight, count)
  for i = 1, count do
    redis.call('ZADD', flight, 'XX', 0, lease_id .. ':' .. i)
  end
end

-- Take a reading and return how much later than on the fastest way the request may have arrived; nil: not known yet.
local function lateness(reading)
  local f = redis.call('HMGET', KEYS[1], 'since', 'lowest', 'agreed', 'lowest_before', 'agreed_before', 'spread')
  local since, lowest, agreed = tonumber(f[1] or 0), tonumber(f[2] or math.huge), tonumber(f[3] or 0)
  local lowest_before, agreed_before = tonumber(f[4] or math.huge), tonumber(f[5] or 0)
  local spread = tonumber(f[6] or 0)
  local age = now - since
  if age < 0 or age >= period then
    local kept = age >= 0 and age < 2 * period
    lowest_before, agreed_before = kept and lowest or math.huge, kept and agreed or 0
    since, lowest, agreed = now, math.huge, 0
    redis.call('DEL', KEYS[1])
    if kept then
      redis.call('HSET', KEYS[1], 'lowest_before', lowest_before)
    end
  end
  local floor = math.min(lowest, lowest_before)
  local too_high = math.floor(doubt * spread / (agreed + agreed_before + 1))
  local short = floor - margin - too_high - reading
  if short > 0 then
    local shaken = math.max(0, math.floor(doubt * spread / short) - 1)
    agreed, agreed_before = math.min(agreed + agreed_before, shaken), 0
    too_high = math.floor(doubt * spread / (agreed + 1))
  end
  agreed = agreed + 1
  local late = floor < math.huge and math.max(0, reading - floor) or 0
  spread = spread + math.floor((late - spread) / memory)
  redis.call('HSET', KEYS[1], 'since', since, 'lowest', math.min(lowest, reading), 'agreed', agreed,
    'agreed_before', agreed_before, 'spread', spread)
  live_on(KEYS[1], 2 * period)
  return agreed + agreed_before > confirmations and late + too_high or nil
end

-- Return when the tokens of the first bucket come back: by the exchange's clock if it can be, never after `safe`.
local function first_return(window, safe)
  local late = exchange > 0 and lateness(exchange - ready - left_after)
  if not late then
    return safe
  end
  local f = redis.call('HMGET', KEYS[2], 'widened', 'widened_at')
  local extra = math.floor(tonumber(f[1] or 0) / 2 ^ math.max(0, math.floor((now - (f[2] or 0)) / narrowing)))
  return math.min(safe, ready + left_after + late + resolution + window + margin + extra)
end

-- Take the exchange's limit for the bucket's, if it is news.
local function learn(bucket)
  local known = redis.call('HMGET', bucket, 'learned', 'learned_until')
  if tonumber(known[1] or 0) ~= limit or tonumber(known[2] or 0) < now + believe / 2 then
    redis.call('HSET', bucket, 'learned', limit, 'learned_until', now + believe)
    live_on(bucket, believe)
  end
end

-- Keep out of the bucket what the exchange counted and we cannot explain: someone else spends this quota.
--
-- It counted requests that arrived within the window before it answered. Ours among them were in flight when this
-- request left, or later (a token returns one window after its arrival less the fastest way there, and this request
-- was under way as long). Those that still wait for a token count for nothing: their leases end later than that of a
-- request that leaves now. Requests of ours that are on their way only make this number larger.
--
-- The tokens are the others' own: ~:1, ~:2, ... Who spends now will spend again, so they stay out while they are
-- seen, and come back one by one between one window after that and two: the first one shows whether they are free.
local function take_out_foreign(flight, window)
  local latest, nth = now + lease, 1
  local explained = redis.call('ZCOUNT', flight, ready + 1, latest)
  local at = tonumber(redis.call('ZSCORE', flight, '~:1') or 0)
  while at > ready do
    explained = explained - (at <= latest and 1 or 0)
    nth = nth + 1
    at = tonumber(redis.call('ZSCORE', flight, '~:' .. nth) or 0)
  end
  local foreign = math.max(0, limit - remaining - explained)
  for i = 1, foreign do
    local rest = math.floor(window * (foreign - i + 1) / foreign)
    redis.call('ZADD', flight, 'GT', now + window + rest, '~:' .. i)
  end
  return foreign
end

local foreign = 0
for b = 1, #KEYS - 2 do
  local flight, window, cost = KEYS[b + 2], numbers[2 * b + 15], numbers[2 * b + 16]
  redis.call('ZREMRANGEBYSCORE', flight, '-inf', math.min(now, ready) - window)
  if was_sent == 1 then
    local safe = math.max(now, ready) + window
    put(flight, lease_id, cost, b == 1 and first_return(window, safe) or safe)
    live_on(flight, safe - now + window)
    if b == 1 and limit > 0 then
      learn(KEYS[2])
      if remaining >= 0 then
        foreign = take_out_foreign(flight, window)
      end
    end
  else
    give_back(flight, cost)
  end
end
return foreign
