-- Settles requests that are over, then decides about a new one: of all scopes and kinds at once, all or nothing.
--
-- KEYS, for each scope of each group: its counters, if it limits requests or tokens; its leases, if concurrency.
-- ARGV: time in ms ('' is Redis's own), id of the new request ('' is none), its tokens ('' only looks: nothing is taken,
--   and how many run is told for each scope, too), number of groups; for each group its scopes as text, four numbers each:
--   bucket (1) or window (0), requests and tokens a minute, requests at the same time, 0 being no limit; then what is
--   over, one text each: id, when it was taken, group, requests to give back, and by how much more than counted its tokens
--   were. The new request is of the first group.
-- Returns 0 or what refuses (1 requests, 2 tokens, 3 concurrency), which scope does, how long it would have to wait (-1:
--   forever), the time; for each scope what is left of requests, ms until all of them are free, and the same of tokens,
--   -1 being no limit.
--
-- The counters of a window are a hash. Its field h is all that most calls need, seven numbers in binary: the second that
-- has begun, what is taken altogether of requests and tokens, what in that second, the newest second with anything in
-- it, and when counting began. Each earlier second of the last sixty has a field 'requests tokens'. The field h of a
-- bucket: levels of requests and tokens in 60,000ths, as of when, and when counting began. Leases are a sorted set of
-- request ids by when they run out.

local MINUTE = 60000
local SLOTS = 61 -- sixty whole seconds and the one that has begun
local KEYS_MS = 125000 -- since they were used: by then a window is empty, a bucket full, and leases have run out
local LEASE_MS = 60000

local call, floor, ceil, min, max = redis.call, math.floor, math.ceil, math.min, math.max
local packHead, unpackHead = struct.pack, struct.unpack

local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end

local function pair(requests, tokens)
  return string.format('%.0f %.0f', requests, tokens)
end

local Window = {}
Window.__index = Window

function Window.load(key)
  local slot = floor(now / 1000)
  local head = call('HGET', key, 'h')
  local window = { key = key, slot = slot, r = 0, t = 0, cr = 0, ct = 0, newest = slot, began = now, isNew = not head }
  if head then
    window.slot, window.r, window.t, window.cr, window.ct, window.newest, window.began = unpackHead('<ddddddd', head)
  end
  setmetatable(window, Window)
  if window.slot < slot then window:advance(slot) end -- a clock that was put back waits for itself
  return window
end

-- Once a second at most: the second that was current is put with the others, and those that are over are left out.
function Window:advance(slot)
  local flat = call('HGETALL', self.key)
  local r, t, gone = 0, 0, {}
  for i = 1, #flat, 2 do
    local second = tonumber(flat[i])
    if second and second <= slot - SLOTS then
      gone[#gone + 1] = flat[i]
    elseif second then
      local requests, tokens = string.match(flat[i + 1], '(%d+) (%d+)')
      r, t = r + requests, t + tokens
    end
  end
  if #gone > 0 then call('HDEL', self.key, unpack(gone)) end
  if self.slot > slot - SLOTS and (self.cr > 0 or self.ct > 0) then
    call('HSET', self.key, self.slot, pair(self.cr, self.ct))
    r, t = r + self.cr, t + self.ct
  end
  self.slot, self.r, self.t, self.cr, self.ct = slot, r, t, 0, 0
  self:save()
  call('PEXPIRE', self.key, KEYS_MS)
end

function Window:wait(kind, amount, limit)
  local excess = self[kind] + amount - limit
  if excess <= 0 then return 0 end
  if amount > limit then return -1 end
  local amounts = {}
  local flat = call('HGETALL', self.key)
  for i = 1, #flat, 2 do
    local second = tonumber(flat[i])
    if second then
      local requests, tokens = string.match(flat[i + 1], '(%d+) (%d+)')
      amounts[second] = tonumber(kind == 'r' and requests or tokens)
    end
  end
  amounts[self.slot] = kind == 'r' and self.cr or self.ct
  local freed, slot = 0, self.slot - SLOTS
  while freed < excess and slot < self.slot do
    slot = slot + 1
    freed = freed + (amounts[slot] or 0)
  end
  return (slot + SLOTS) * 1000 - now
end

-- Adds to what is taken now, whether it fits or not.
function Window:add(_, requests, tokens)
  self.r, self.t, self.cr, self.ct = self.r + requests, self.t + tokens, self.cr + requests, self.ct + tokens
  self.newest, self.isChanged = self.slot, true
end

function Window:giveBack(_, taken, requests, tokens)
  local slot = floor(taken / 1000)
  if slot <= self.slot - SLOTS then return end
  if slot >= self.slot then
    requests, tokens = min(requests, self.cr), min(tokens, self.ct)
    self.cr, self.ct = self.cr - requests, self.ct - tokens
  else
    local before = call('HGET', self.key, slot)
    if not before then return end
    local r, t = string.match(before, '(%d+) (%d+)')
    requests, tokens = min(requests, tonumber(r)), min(tokens, tonumber(t))
    call('HSET', self.key, slot, pair(r - requests, t - tokens))
  end
  self.r, self.t, self.isChanged = self.r - requests, self.t - tokens, true
end

function Window:left(kind, limit)
  local reset = self[kind] > 0 and max(0, (self.newest + SLOTS) * 1000 - now) or 0
  return max(0, limit - self[kind]), reset
end

function Window:save()
  call('HSET', self.key, 'h',
    packHead('<ddddddd', self.slot, self.r, self.t, self.cr, self.ct, self.newest, self.began))
  if self.isNew then call('PEXPIRE', self.key, KEYS_MS) end
end

local Bucket = {}
Bucket.__index = Bucket

function Bucket.load(key, scope)
  local full = { scope.requests * MINUTE, scope.tokens * MINUTE }
  local head = call('HGET', key, 'h')
  if not head then return setmetatable({ key = key, r = full[1], t = full[2], at = now, began = now, isNew = true }, Bucket) end
  local r, t, at, began = unpackHead('<dddd', head)
  local since = max(0, now - at)
  r, t = min(full[1], r + since * scope.requests), min(full[2], t + since * scope.tokens)
  local isNew = floor(at / 1000) ~= floor(now / 1000)
  return setmetatable({ key = key, r = r, t = t, at = max(at, now), began = began, isNew = isNew }, Bucket)
end

function Bucket:wait(kind, amount, limit)
  local missing = amount * MINUTE - self[kind]
  if missing <= 0 then return 0 end
  return amount > limit and -1 or ceil(missing / limit)
end

-- Debt ends with another minute's amount.
function Bucket:add(scope, requests, tokens)
  self.r = max(-scope.requests * MINUTE, self.r - requests * MINUTE)
  self.t = max(-scope.tokens * MINUTE, self.t - tokens * MINUTE)
  self.isChanged, self.limits = true, scope
end

function Bucket:giveBack(scope, taken, requests, tokens)
  if now - taken >= MINUTE then return end
  self.r = min(scope.requests * MINUTE, self.r + requests * MINUTE)
  self.t = min(scope.tokens * MINUTE, self.t + tokens * MINUTE)
  self.isChanged, self.limits = true, scope
end

function Bucket:left(kind, limit)
  return max(0, floor(self[kind] / MINUTE)), ceil((limit * MINUTE - self[kind]) / limit)
end

-- What is not limited is full once it is.
function Bucket:save()
  local r, t = self.limits.requests > 0 and self.r or math.huge, self.limits.tokens > 0 and self.t or math.huge
  call('HSET', self.key, 'h', packHead('<dddd', r, t, self.at, self.began))
  if self.isNew then call('PEXPIRE', self.key, KEYS_MS) end -- once a second
end

local loaded = {}
local function countersOf(scope)
  local counters = loaded[scope.key]
  if not counters then
    counters = scope.isBucket and Bucket.load(scope.key, scope) or Window.load(scope.key)
    loaded[scope.key] = counters
  end
  return counters
end

-- Leases of replicas that are gone are looked for only when they are in the way.
local function isFull(scope)
  if call('ZCARD', scope.leases) < scope.running then return false end
  call('ZREMRANGEBYSCORE', scope.leases, '-inf', now)
  return call('ZCARD', scope.leases) >= scope.running
end

local id, tokens = ARGV[2], tonumber(ARGV[3])
local groupsEnd = 4 + tonumber(ARGV[4])
local groups, nextKey = {}, 1
for at = 5, groupsEnd do
  local group = {}
  for bucket, requests, perMinute, running in string.gmatch(ARGV[at], '(%d+) (%d+) (%d+) (%d+)') do
    local scope = {
      isBucket = bucket == '1', requests = tonumber(requests), tokens = tonumber(perMinute), running = tonumber(running),
    }
    if scope.requests > 0 or scope.tokens > 0 then
      scope.key, nextKey = KEYS[nextKey], nextKey + 1
    end
    if scope.running > 0 then
      scope.leases, nextKey = KEYS[nextKey], nextKey + 1
    end
    group[#group + 1] = scope
  end
  groups[at - 4] = group
end

for at = groupsEnd + 1, #ARGV do
  local over, taken, group, requests, excess = string.match(ARGV[at], '(%S+) (%d+) (%d+) (%d+) (%S+)')
  taken, requests, excess = tonumber(taken), tonumber(requests), tonumber(excess)
  for _, scope in ipairs(groups[tonumber(group)]) do
    if scope.leases then call('ZREM', scope.leases, over) end
    -- All of a minute is as much as can be kept from others.
    local change = scope.tokens > 0 and min(excess, scope.tokens) or 0
    if scope.key and (requests > 0 or change ~= 0) then
      local counters = countersOf(scope)
      if change > 0 then counters:add(scope, 0, change) end
      local isKnown = taken >= counters.began -- else these counters were lost or reset since
      if isKnown and (requests > 0 or change < 0) then counters:giveBack(scope, taken, requests, max(0, -change)) end
    end
  end
end

local code, which, longest = 0, 0, 0
local function consider(wait, kind, s)
  if longest == -1 or (wait ~= -1 and wait <= longest) then return end
  code, which, longest = kind, s, wait
end

local asking = id ~= '' and groups[1] or {}
for s, scope in ipairs(tokens and asking or {}) do
  if scope.requests > 0 then consider(countersOf(scope):wait('r', 1, scope.requests), 1, s) end
  if scope.tokens > 0 then consider(countersOf(scope):wait('t', tokens, scope.tokens), 2, s) end
  if scope.leases and isFull(scope) then consider(1000, 3, s) end
end

local reply = { code, which, longest, now }
for _, scope in ipairs(asking) do
  local counters = scope.key and countersOf(scope)
  if tokens and code == 0 then
    if counters then counters:add(scope, 1, scope.tokens > 0 and tokens or 0) end
    if scope.leases then
      call('ZADD', scope.leases, now + LEASE_MS, id)
      -- Put off once a second where that can be told, for it is a command more.
      if not counters or counters.cr == nil or counters.cr <= 1 then call('PEXPIRE', scope.leases, KEYS_MS) end
    end
  end
  local rLeft, rReset, tLeft, tReset = -1, -1, -1, -1
  if scope.requests > 0 then rLeft, rReset = counters:left('r', scope.requests) end
  if scope.tokens > 0 then tLeft, tReset = counters:left('t', scope.tokens) end
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3], reply[#reply + 4] = rLeft, rReset, tLeft, tReset
  if not tokens then reply[#reply + 1] = scope.leases and call('ZCOUNT', scope.leases, now, '+inf') or -1 end
end
for _, counters in pairs(loaded) do
  if counters.isChanged then counters:save() end
end
return reply
