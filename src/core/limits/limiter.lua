-- Settles requests that are over, then decides about new ones, one after the other: each of all its scopes and kinds at
-- once, all or nothing.
--
-- KEYS, for each scope of each group: its counters, if it limits requests or tokens; its leases, if concurrency.
-- ARGV[1], as JSON: [time, groups, over, asked, look]
--   time    in ms; 0 is Redis's own
--   groups  of scopes, each {"bucket": or it is a window, "requests" and "tokens" a minute, "running" at the same time},
--           0 being no limit
--   over    flat, of each request that is over: id, when it was taken, group, requests to give back, and by how much more
--           than counted its tokens were
--   asked   flat, of each new request: id, group, tokens
--   look    1 only looks at the first group: nothing is taken
-- Returns the time, then
--   of each new request: 0, or what refuses (1 requests, 2 tokens, 3 concurrency), which scope does, and how long it would
--   have to wait (-1: forever); then for requests and for tokens, of the scope with the least left: which it is (0: none
--   limits them), what is left, and ms until all of them are free;
--   or, to one who looks, of each scope: what is left of requests and of tokens, and how many run.
--
-- A batch reads and writes every key once, however many requests it decides about: what is asked together costs little
-- more than one request alone.
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

local told = cjson.decode(ARGV[1])
local now, groups, over, asked, looks = told[1], told[2], told[3], told[4], told[5] == 1
if now == 0 then
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
  local amounts = self:earlier(kind)
  local freed, slot = 0, self.slot - SLOTS
  while freed < excess and slot < self.slot do
    slot = slot + 1
    freed = freed + (slot == self.slot and self['c' .. kind] or amounts[slot] or 0)
  end
  return (slot + SLOTS) * 1000 - now
end

-- By second, without the current one. Read once for all who have to wait.
function Window:earlier(kind)
  if not self.seconds then
    self.seconds = { r = {}, t = {} }
    local flat = call('HGETALL', self.key)
    for i = 1, #flat, 2 do
      local second = tonumber(flat[i])
      if second then
        local requests, tokens = string.match(flat[i + 1], '(%d+) (%d+)')
        self.seconds.r[second], self.seconds.t[second] = tonumber(requests), tonumber(tokens)
      end
    end
  end
  return self.seconds[kind]
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
  local taken = self[kind]
  if taken == 0 then return limit, 0 end
  return max(0, limit - taken), max(0, (self.newest + SLOTS) * 1000 - now)
end

function Window:save()
  call('HSET', self.key, 'h',
    packHead('<ddddddd', self.slot, self.r, self.t, self.cr, self.ct, self.newest, self.began))
  if self.isNew then call('PEXPIRE', self.key, KEYS_MS) end
end

local Bucket = {}
Bucket.__index = Bucket

-- Levels above what a scope allows are as good as full, here and wherever they are read: callers whose limits have just
-- changed may ask in one batch with those who do not know yet.
function Bucket.load(key, scope)
  local head = call('HGET', key, 'h')
  local bucket = { key = key, r = math.huge, t = math.huge, at = now, began = now, isNew = not head }
  if head then
    local r, t, at, began = unpackHead('<dddd', head)
    local since = max(0, now - at)
    bucket.r, bucket.t, bucket.at, bucket.began = r + since * scope.requests, t + since * scope.tokens, max(at, now), began
    bucket.isNew = floor(at / 1000) ~= floor(now / 1000)
  end
  return setmetatable(bucket, Bucket)
end

function Bucket:wait(kind, amount, limit)
  local missing = amount * MINUTE - min(self[kind], limit * MINUTE)
  if missing <= 0 then return 0 end
  return amount > limit and -1 or ceil(missing / limit)
end

-- Debt ends with another minute's amount.
function Bucket:change(kind, amount, limit)
  local full = limit * MINUTE
  if limit > 0 then self[kind] = max(-full, min(full, min(full, self[kind]) + amount * MINUTE)) end
end

function Bucket:add(scope, requests, tokens)
  self:change('r', -requests, scope.requests)
  self:change('t', -tokens, scope.tokens)
  self.isChanged, self.limits = true, scope
end

function Bucket:giveBack(scope, taken, requests, tokens)
  if now - taken >= MINUTE then return end
  self:change('r', requests, scope.requests)
  self:change('t', tokens, scope.tokens)
  self.isChanged, self.limits = true, scope
end

function Bucket:left(kind, limit)
  local level = min(self[kind], limit * MINUTE)
  return max(0, floor(level / MINUTE)), ceil((limit * MINUTE - level) / limit)
end

-- What is not limited is full once it is.
function Bucket:save()
  local r, t = self.limits.requests > 0 and self.r or math.huge, self.limits.tokens > 0 and self.t or math.huge
  call('HSET', self.key, 'h', packHead('<dddd', r, t, self.at, self.began))
  if self.isNew then call('PEXPIRE', self.key, KEYS_MS) end -- once a second
end

-- Of one sorted set: those that are over, and those to be added when all is decided.
local Leases = {}
Leases.__index = Leases

function Leases:free()
  if #self.over > 0 then call('ZREM', self.key, unpack(self.over)) end
end

-- Leases of replicas that are gone are looked for only when they are in the way.
function Leases:isFull(running)
  self.count = self.count or call('ZCARD', self.key)
  if self.count >= running and not self.isSwept then
    self.count, self.isSwept = self.count - call('ZREMRANGEBYSCORE', self.key, '-inf', now), true
  end
  return self.count >= running
end

function Leases:add(id, counters)
  local added = self.added
  added[#added + 1], added[#added + 2] = now + LEASE_MS, id
  self.count = self.count + 1
  -- Put off once a second where that can be told, for it is a command more.
  if not counters or counters.cr == nil or counters.cr <= 1 then self.isPutOff = true end
end

function Leases:save()
  if #self.added == 0 then return end
  call('ZADD', self.key, unpack(self.added))
  if self.isPutOff then call('PEXPIRE', self.key, KEYS_MS) end
end

-- By key, since groups have scopes in common.
local allCounters, allLeases, nextKey = {}, {}, 1
for _, group in ipairs(groups) do
  for _, scope in ipairs(group) do
    if scope.requests > 0 or scope.tokens > 0 then
      scope.key, nextKey = KEYS[nextKey], nextKey + 1
    end
    if scope.running > 0 then
      local key = KEYS[nextKey]
      nextKey = nextKey + 1
      allLeases[key] = allLeases[key] or setmetatable({ key = key, over = {}, added = {} }, Leases)
      scope.leases = allLeases[key]
    end
  end
end

local function countersOf(scope)
  local counters = allCounters[scope.key]
  if not counters then
    counters = scope.bucket and Bucket.load(scope.key, scope) or Window.load(scope.key)
    allCounters[scope.key] = counters
  end
  scope.counters = counters
  return counters
end

for at = 1, #over, 5 do
  local id, taken, requests, excess = over[at], over[at + 1], over[at + 3], over[at + 4]
  for _, scope in ipairs(groups[over[at + 2]]) do
    local leases = scope.leases
    if leases then leases.over[#leases.over + 1] = id end
    -- All of a minute is as much as can be kept from others.
    local change = scope.tokens > 0 and min(excess, scope.tokens) or 0
    if scope.key and (requests > 0 or change ~= 0) then
      local counters = scope.counters or countersOf(scope)
      if change > 0 then counters:add(scope, 0, change) end
      local isKnown = taken >= counters.began -- else these counters were lost or reset since
      if isKnown and (requests > 0 or change < 0) then counters:giveBack(scope, taken, requests, max(0, -change)) end
    end
  end
end
for _, leases in pairs(allLeases) do leases:free() end

local reply, length = { now }, 1
local function tell(a, b, c)
  reply[length + 1], reply[length + 2], reply[length + 3] = a, b, c
  length = length + 3
end

for at = 1, #asked, 3 do
  local id, group, tokens = asked[at], groups[asked[at + 1]], asked[at + 2]
  local code, which, longest = 0, 0, 0
  for s = 1, #group do
    local scope = group[s]
    local counters = scope.key and (scope.counters or countersOf(scope))
    local byRequests = scope.requests > 0 and counters:wait('r', 1, scope.requests) or 0
    local byTokens = scope.tokens > 0 and counters:wait('t', tokens, scope.tokens) or 0
    local byRunning = scope.leases and scope.leases:isFull(scope.running) and 1000 or 0
    -- The first of those that keep it waiting longest, -1 being longer than all.
    if longest ~= -1 and (byRequests > longest or byRequests == -1) then code, which, longest = 1, s, byRequests end
    if longest ~= -1 and (byTokens > longest or byTokens == -1) then code, which, longest = 2, s, byTokens end
    if longest ~= -1 and byRunning > longest then code, which, longest = 3, s, byRunning end
  end

  local rAt, rLeast, rReset, tAt, tLeast, tReset = 0, 0, 0, 0, 0, 0
  for s = 1, #group do
    local scope = group[s]
    local counters = scope.counters
    if code == 0 then
      if counters then counters:add(scope, 1, scope.tokens > 0 and tokens or 0) end
      if scope.leases then scope.leases:add(id, counters) end
    end
    if scope.requests > 0 then
      local left, reset = counters:left('r', scope.requests)
      if rAt == 0 or left < rLeast then rAt, rLeast, rReset = s, left, reset end
    end
    if scope.tokens > 0 then
      local left, reset = counters:left('t', scope.tokens)
      if tAt == 0 or left < tLeast then tAt, tLeast, tReset = s, left, reset end
    end
  end
  if code == 0 then
    length = length + 1
    reply[length] = 0
  else
    tell(code, which, longest)
  end
  tell(rAt, rLeast, rReset)
  tell(tAt, tLeast, tReset)
end

for _, scope in ipairs(looks and groups[1] or {}) do
  local counters = scope.key and countersOf(scope)
  tell(
    scope.requests > 0 and counters:left('r', scope.requests) or -1,
    scope.tokens > 0 and counters:left('t', scope.tokens) or -1,
    scope.leases and call('ZCOUNT', scope.leases.key, now, '+inf') or -1
  )
end

for _, counters in pairs(allCounters) do
  if counters.isChanged then counters:save() end
end
for _, leases in pairs(allLeases) do leases:save() end
return reply
