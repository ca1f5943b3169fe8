-- Take tokens from every bucket named, or from none; or from those of one lane, for as many orders as there are
-- tokens. One round trip; O(tokens asked for), amortised.
--
-- Lanes: a bucket with a lane is an endpoint through which the orders may go instead of the other: 1 "alone", each in
-- a request of its own, 2 "together", all in one request. Of two lanes the one that grants first is taken; if both
-- do, the one that needs fewer requests. A lane takes what is free when the first token is, not what is asked for.
--
-- All instants and durations are whole microseconds; instants are the server's own TIME.
--
-- KEYS[1]    epoch   string: since when this key space holds the truth; no TTL
-- KEYS[2]    names   set: buckets that were ever asked for
-- KEYS[2b+1] bucket  hash, for bucket b = 1, 2, ...
--              limit, window               as documented for the account's tier
--              learned, learned_until      the limit that the exchange told, and until when we believe it
--              blocked_until               nothing passes before
--              ticket_at                   the ticket clock: when the next denied caller shall come back
--              ticket_since, ticket_asked  tokens asked for since then: do callers come back at all?
--              widened, widened_at         what refusals added to the margin: see settle.lua
--              flight_until                the flight key lives at least until then: no need to say it each time
-- KEYS[2b+2] flight  zset of tokens in flight or reserved: member = lease:i, score = instant at which it is free
--              again. One that has returned stays for a window more: settle.lua explains by it what was counted.
--
-- ARGV[1]    prefix of all keys    ARGV[2] nonce of the lease
-- ARGV[3]    doubles, packed: restarted, longest wait, lease, keep (TTL at least), orders (more than 1 with lanes
--            only); of each bucket limit, window, cost, step (what a further order of the same request takes), lane
--            (0: none, every request needs it).
--            restarted 1: the server did not know this script, so it may hold an old copy
--
-- Returns "READY WAIT LANE ORDERS": the instant from which to send, the wait until then, which lane and for how many
-- orders; or, as a number, when to come back. The lease of the orders' tokens is READY-NONCE when one request takes
-- them, READY-NONCE.1, READY-NONCE.2 ... when each order has a request of its own in lane 1.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local numbers = {struct.unpack('<' .. string.rep('d', #ARGV[3] / 8), ARGV[3])}
local restarted, max_wait, lease, keep, orders = unpack(numbers, 1, 5)
local ALONE, TOGETHER = 1, 2

-- Give a key a TTL of at least `least` beyond `keep`; never shorten one.
local function live_on(key, least)
  local ttl = math.ceil((keep + least) / 1000)
  if redis.call('PEXPIRE', key, ttl, 'GT') == 0 then
    redis.call('PEXPIRE', key, ttl, 'NX')
  end
end

-- Return the instant at which so many tokens are there: when at most limit - cost are still away.
local function back_at(flight, limit, cost)
  if cost > limit then
    return math.huge
  end
  local last = redis.call('ZRANGE', flight, limit - cost, limit - cost, 'REV', 'WITHSCORES')
  return math.max(now, tonumber(last[2] or now))
end

-- While tickets are out, count who comes: when not even half of those due do, the others have vanished.
local function count_callers(bucket)
  if bucket.ticket_at <= now or bucket.ticket_since > now then
    return
  end
  bucket.asked = bucket.asked + bucket.cost
  local elapsed = now - bucket.ticket_since
  if elapsed >= 2 * bucket.window then
    local due = elapsed * bucket.limit / bucket.window
    if 2 * bucket.asked < due then
      bucket.ticket_at = now + math.floor((bucket.ticket_at - now) * bucket.asked / due)
      redis.call('HSET', bucket.key, 'ticket_at', bucket.ticket_at)
    end
    bucket.asked = 0
    redis.call('HSET', bucket.key, 'ticket_since', now)
  end
  redis.call('HSET', bucket.key, 'ticket_asked', bucket.asked)
end

-- Read a bucket and say when it has what is asked for.
local function look(b, epoch)
  local key, flight = KEYS[2 * b + 1], KEYS[2 * b + 2]
  local limit, window, cost, step, lane = unpack(numbers, 5 * b + 1, 5 * b + 5)
  local f = redis.call('HMGET', key, 'limit', 'window', 'learned', 'learned_until', 'blocked_until',
    'ticket_at', 'ticket_since', 'ticket_asked', 'flight_until')
  if tonumber(f[1] or 0) ~= limit or tonumber(f[2] or 0) ~= window then
    redis.call('HSET', key, 'limit', limit, 'window', window)
    redis.call('SADD', KEYS[2], string.sub(key, #ARGV[1] + #':bucket:' + 1))
    live_on(key, window)
  end
  if tonumber(f[4] or 0) > now then
    limit = tonumber(f[3])
  end
  local bucket = {
    key = key, flight = flight, limit = limit, window = window, cost = cost, step = step, lane = lane,
    gate = math.max(now, tonumber(f[5] or 0), epoch + window),
    ticket_at = tonumber(f[6] or 0), ticket_since = tonumber(f[7] or 0), asked = tonumber(f[8] or 0),
    flight_until = tonumber(f[9] or 0),
  }
  bucket.back = back_at(flight, limit, cost)
  bucket.ready = math.max(bucket.gate, bucket.back)
  count_callers(bucket)
  return bucket
end

-- Take the tokens. Those that are still away stay counted beside those that wait for them, so that the next caller
-- is told a later return: nobody waits for the same token, and a waiter that gives up frees no token too early.
local function take(bucket, leases, each, ready)
  local tokens = {}
  for _, lease_id in ipairs(leases) do
    for i = 1, each do
      tokens[#tokens + 1] = ready + lease
      tokens[#tokens + 1] = lease_id .. ':' .. i
    end
  end
  redis.call('ZADD', bucket.flight, unpack(tokens))
  local needed = ready + lease + bucket.window
  if bucket.flight_until < needed then
    redis.call('PEXPIRE', bucket.flight, math.ceil((needed + keep - now) / 1000))
    redis.call('HSET', bucket.key, 'flight_until', needed + keep)
    live_on(bucket.key, needed - now)
  end
end

-- Return an instant of its own, at the bucket's pace, for a caller that is turned away.
local function give_ticket(bucket)
  local pace = math.ceil(bucket.window * bucket.cost / bucket.limit)
  local back = bucket.back
  if back > now + bucket.window then  -- not answered yet: its lease ends then, but the answer comes sooner
    local sent_at = back == math.huge and now or back - lease
    back = math.min(back, math.max(now, sent_at) + bucket.window)
  end
  local first = math.max(bucket.gate, back, now + pace)
  if bucket.ticket_at <= now then
    redis.call('HSET', bucket.key, 'ticket_since', first, 'ticket_asked', 0)
  end
  local at = math.max(bucket.ticket_at, first)
  redis.call('HSET', bucket.key, 'ticket_at', at + pace)
  live_on(bucket.key, at + pace - now)
  return at
end

local epoch = restarted == 0 and tonumber(redis.call('GET', KEYS[1]) or nil)
if not epoch then
  epoch = now
  redis.call('SET', KEYS[1], now)
end

-- Return the bucket of the lane that grants first; the second is not looked at when the first has a token now.
local function choose(lanes, epoch)
  local chosen
  for _, lane in ipairs(orders > 1 and {TOGETHER, ALONE} or {ALONE, TOGETHER}) do
    if lanes[lane] and not (chosen and chosen.ready <= now) then
      local bucket = look(lanes[lane], epoch)
      if not chosen or bucket.ready < chosen.ready then
        chosen = bucket
      end
    end
  end
  return chosen
end

-- What each further order takes from a bucket.
local function step_of(bucket, lane)
  return lane == ALONE and bucket.cost or bucket.step
end

-- Return for how many of the orders a bucket has tokens at an instant at which it has them for one.
local function room(bucket, lane, ready)
  local step = step_of(bucket, lane)
  if step == 0 then
    return orders
  end
  local away = redis.call('ZCOUNT', bucket.flight, string.format('(%.0f', ready), '+inf')
  return math.min(orders, 1 + math.floor((bucket.limit - away - bucket.cost) / step))
end

local buckets, lanes, ready = {}, {}, now
for b = 1, #KEYS / 2 - 1 do
  local lane = numbers[5 * b + 5]
  if lane == 0 then
    buckets[#buckets + 1] = look(b, epoch)
  else
    lanes[lane] = b
  end
end
local chosen = choose(lanes, epoch)
buckets[#buckets + 1] = chosen
for _, bucket in ipairs(buckets) do
  ready = math.max(ready, bucket.ready)
end

if ready - now <= max_wait then
  local lane, granted = chosen and chosen.lane or 0, orders
  if orders > 1 then
    for _, bucket in ipairs(buckets) do
      granted = math.min(granted, room(bucket, lane, ready))
    end
  end
  local instant = string.format('%.0f', ready)
  local leases = {instant .. '-' .. ARGV[2]}
  if lane == ALONE then
    for i = granted, 1, -1 do
      leases[i] = instant .. '-' .. ARGV[2] .. '.' .. i
    end
  end
  for _, bucket in ipairs(buckets) do
    local each = lane == ALONE and bucket.cost or bucket.cost + bucket.step * (granted - 1)
    take(bucket, leases, each, ready)
  end
  return string.format('%s %.0f %d %d', instant, ready - now, lane, granted)
end

local retry_at = now
for _, bucket in ipairs(buckets) do
  if bucket.ready - now > max_wait then
    -- Who may take another lane queues for none: the ledger keeps these orders in line (docs/adr/0013-lanes.md).
    -- What costs more than the limit is never ready, but the limit may change.
    local ready = bucket.ready < math.huge and bucket.ready or bucket.gate + bucket.window
    retry_at = math.max(retry_at, chosen and ready or give_ticket(bucket))
  end
end
return retry_at - now
