-- Settles. KEYS: pool, blocks, changes, counters, then issuers and quota records as ARGV say.
-- ARGV[2]: batches; ARGV[3 ...]: names of scopes and keys, which the batches refer to by index (from 0).
-- A batch: index of its issuer's key from KEYS[5] (2 bytes; 65535: no issuer, always new), number (6),
-- seen (6), jitter (2), base and longest back-off in ns (8 each), numbers of settlements, verdicts and
-- tallies (2 each), how many bytes follow (4); then these. Records are indexes from KEYS[5] too; 65535 is none.
-- A settlement: record (2), taken_at (6), tokens (6), day's end (6), flags (1: 1 probe, 2 never sent,
-- 4 tokens are known, 8 proven), tokens used (6). Verdicts begin with their kind, see below.
-- A tally: name (2), last used (6), successes, errors, abandoned (4 each).
-- Replies { now, generation, incarnation (18 bytes), indexes of the records that were freed (2 each),
-- name, generation, record of each changed scope ... }.
local batches, at, records, scopes, issuers, counters = ARGV[2], 1, {}, {}, {}, {}
local order, freed, seen_least = {}, {}, NEVER

local function next_of(format)
  local a, b, c, d, e, f, g, h, i = up(format, batches, at)
  return a, b, c, d, e, f, g, h, i
end

local function record(index)
  local r = records[index]
  if r == nil then
    local bytes = call('GET', KEYS[index + 5])
    r = read_quota(bytes)
    r.absent = not bytes
    records[index] = r
  end
  return r
end

-- Scope records

local function name_of(index) return ARGV[index + 3] end

local function scope(index)
  local name = name_of(index)
  local s = scopes[name]
  if s then return s end
  local bytes = call('HGET', KEYS[2], name)
  if bytes then
    local version, flags, reason, gen, until_, blocked_at, strikes = up('<BBBI4I6I6I4', bytes)
    if version ~= 1 then fail('INCOMPATIBLE scope record ' .. version) end
    s = { known = true, must_probe = flags, reason = reason, gen = gen, until_ = until_, blocked_at = blocked_at,
      strikes = strikes }
  else
    s = { known = false, must_probe = 0, reason = 0, gen = 0, until_ = 0, blocked_at = 0, strikes = 0 }
  end
  scopes[name] = s
  return s
end

local function changed(index)
  local s = scope(index)
  generation = max(generation + 1, wall)
  s.known, s.generation = true, generation
  if not s.listed then
    s.listed = true
    order[#order + 1] = name_of(index)
  end
end

local function forget_block(s) s.until_, s.strikes, s.reason, s.must_probe = 0, 0, 0, 0 end

-- The schedule in ns, jitter in thousandths of a tenth; in parts, so that no product exceeds 2^53.
local function back_off(strikes, base, longest, jitter)
  local delay = min(base * 2 ^ min(max(strikes - 1, 0), 31), longest)
  jitter = min(jitter, 1000)
  local rest = delay % 10000
  delay = delay + (delay - rest) / 10000 * jitter + floor(rest * jitter / 10000)
  local part = delay % 1000000
  return (delay - part) / 1000000 + (part > 0 and 1 or 0)
end

-- span: 0 back-off, 1 so many ms, 2 until that time.
local function block(s, since, reason, span, value, batch)
  local news = since > s.blocked_at or s.blocked_at > wall
  local strikes = min(s.strikes + (news and 1 or 0), U32)
  local until_ = value
  if span == 0 then
    if not news then return false end
    until_ = wall + back_off(strikes, batch.base, batch.longest, batch.jitter)
  elseif span == 1 then
    until_ = wall + value
  end
  if until_ <= wall or not news and until_ <= s.until_ then return false end
  s.strikes = strikes
  if news then s.blocked_at = wall end
  if until_ > s.until_ then s.until_, s.reason, s.must_probe = until_, reason, span == 0 and 1 or 0 end
  return true
end

-- Verdicts by kind: each takes what follows its kind.
local verdicts = {}

-- block: scope, record, reason, span, value of the span, since
verdicts[1] = function(batch)
  local name, index, reason, span, value, since
  name, index, reason, span, value, since, at = next_of('<I2I2BBI6I6')
  local s = scope(name)
  local did = block(s, since, reason, span, value, batch)
  if did then changed(name) end
  local doubt = did and s.must_probe == 1
  if index == 65535 or not doubt and span ~= 2 then return end
  local r = record(index)
  r.absent = false
  local now = advance(r)
  if doubt then r.proven, r.doubted_at = false, now end
  if span == 2 then r.day_gone = r.day_gone or value == r.day_end end
end

-- clear: scope, since
verdicts[2] = function()
  local name, since
  name, since, at = next_of('<I2I6')
  local s = scope(name)
  local clears = not (s.until_ == 0 and s.strikes == 0) and since > s.blocked_at
  if clears then forget_block(s) end
  if clears or not s.known then changed(name) end
end

-- learn: record, quota (0 day, 1 requests, 2 tokens), value (0: none named)
verdicts[3] = function()
  local index, quota, value
  index, quota, value, at = next_of('<I2BI6')
  local r = record(index)
  r.absent = false
  local until_ = advance(r) + LEARNED_FOR
  if value == 0 then return end
  if quota == 0 then
    r.rpd, r.rpd_until = min(value, U32), until_
  elseif quota == 1 then
    r.rpm, r.rpm_until = min(value, U32), until_
  else
    r.tpm, r.tpm_until = value, until_
  end
end

-- tighten: record, since, limits
verdicts[4] = function()
  local index, since
  index, since, at = next_of('<I2I6')
  local rpm, tpm = read_limits(batches, at)
  at = at + 15
  local r = record(index)
  r.absent = false
  local now = advance(r)
  rpm, tpm = lower(rpm, r.rpm, r.rpm_until, now), lower(tpm, r.tpm, r.tpm_until, now)
  local expected = rpm and r.requests > rpm or tpm and r.tokens > tpm
  if rpm and rpm > 0 and not expected then pace_tighten(r, now, rpm, since + r.ahead) end
end

-- recall: record, day's end, requests of that day, number of cells; each: at, requests, tokens
verdicts[5] = function()
  local index, day_end, requests, cells
  index, day_end, requests, cells, at = next_of('<I2I6I4I2')
  local r = record(index)
  r.absent = false
  local now = advance(r)
  for _ = 1, cells do
    local when, count, tokens
    when, count, tokens, at = next_of('<I6I2I4')
    when = min(when + r.ahead, now)
    if when + WINDOW > now then
      window_insert(r, when, count, tokens)
      if count > 0 or tokens > 0 then r.changes = r.changes + 1 end
    end
  end
  if day_end == r.day_end and requests > 0 then
    r.day_count, r.changes = min(r.day_count + requests, U32), r.changes + 1
  end
end

-- reset: scope, record
verdicts[6] = function()
  local name, index
  name, index, at = next_of('<I2I2')
  if index ~= 65535 and not record(index).absent then
    local r = record(index)
    r.day_gone, r.rpm, r.rpm_until, r.tpm, r.tpm_until, r.rpd, r.rpd_until = false, 0, 0, 0, 0, 0, 0
    r.steps, r.stepped_at, r.due_us, r.interval_us = 0, 0, 0, 0
  end
  local s = scope(name)
  if s.known then
    forget_block(s)
    s.gen, s.blocked_at = (s.gen + 1) % 4294967296, wall
    changed(name)
  end
end

-- Settlements: true if room was made

local function settle(r, taken_at, tokens, day_end, flags, used)
  local now = advance(r)
  proof_free(r, taken_at)
  if floor(flags / 2) % 2 == 1 then
    local is_last = r.last == taken_at
    window_give_back(r, now, taken_at, 1, min(tokens, U32))
    if day_end == r.day_end and r.day_count > 0 then r.day_count, r.changes = r.day_count - 1, r.changes + 1 end
    if is_last and r.steps > 0 then r.due_us, r.interval_us = max(r.due_us - r.interval_us, 0), 0 end
    return true
  end
  if floor(flags / 4) % 2 == 0 then used = tokens end
  if used < tokens then
    window_give_back(r, now, taken_at, 0, min(tokens - used, U32))
  elseif used > tokens and taken_at + WINDOW > now then
    window_book(r, now, 0, min(used - tokens, U32))
  end
  if flags >= 8 and taken_at > r.doubted_at then establish(r) end
  return flags % 2 == 1 or used < tokens
end

-- Issuers: version, heard_at, newest number + 1, bit number % 1024 of 128 bytes

local function issuer(index)
  local i = issuers[index]
  if i then return i end
  local bytes = call('GET', KEYS[index + 5])
  i = { newest = -1, seen = {} }
  if bytes then
    local version, _, newest = up('<BI6I6', bytes)
    if version ~= 1 then fail('INCOMPATIBLE issuer record ' .. version) end
    i.newest, i.seen = newest - 1, { string.byte(bytes, 14, 141) }
  else
    for n = 1, 128 do i.seen[n] = 0 end
  end
  issuers[index] = i
  return i
end

local function is_new(index, number)
  if index == 65535 then return true end
  local i = issuer(index)
  if i.newest < 0 then i.newest = number end
  if number + 1024 <= i.newest then return false end
  for passed = i.newest + 1, min(number, i.newest + 1024) do
    local place = passed % 1024
    local cell, one = floor(place / 8) + 1, 2 ^ (place % 8)
    if floor(i.seen[cell] / one) % 2 == 1 then i.seen[cell] = i.seen[cell] - one end
  end
  i.newest = max(i.newest, number)
  local place = number % 1024
  local cell, one = floor(place / 8) + 1, 2 ^ (place % 8)
  if floor(i.seen[cell] / one) % 2 == 1 then return false end
  i.seen[cell] = i.seen[cell] + one
  return true
end

local function count()
  local index, used_at, successes, errors, abandoned
  index, used_at, successes, errors, abandoned, at = next_of('<I2I6I4I4I4')
  local name = name_of(index)
  local c = counters[name]
  if not c then
    local bytes, version = call('HGET', KEYS[4], name), nil
    c = { 0, 0, 0, 0 }
    if bytes then
      version, c[1], c[2], c[3], c[4] = up('<BI6I6I6I6', bytes)
      if version ~= 1 then fail('INCOMPATIBLE counter record ' .. version) end
    end
    counters[name] = c
  end
  local largest = 281474976710655
  c[1], c[2] = max(c[1], used_at), min(c[2] + successes, largest)
  c[3], c[4] = min(c[3] + errors, largest), min(c[4] + abandoned, largest)
end

while at <= #batches do
  local batch, which, number, seen, settlements, judged, tallies = {}, nil, nil, nil, nil, nil, nil
  which, number, seen, batch.jitter, batch.base, batch.longest, settlements, judged, tallies =
    next_of('<I2I6I6I2I8I8I2I2I2')
  local length = up('<I4', batches, at + 38)
  at = at + 42
  seen_least = min(seen_least, seen)
  if is_new(which, number) then
    for _ = 1, settlements do
      local index, taken_at, tokens, day_end, flags, used
      index, taken_at, tokens, day_end, flags, used, at = next_of('<I2I6I6I6BI6')
      local r = record(index)
      if not r.absent and settle(r, taken_at, tokens, day_end, flags, used) and not r.freed then
        r.freed = true
        freed[#freed + 1] = pack('<I2', index)
      end
    end
    for _ = 1, judged do
      local kind = string.byte(batches, at)
      at = at + 1
      verdicts[kind](batch)
    end
    for _ = 1, tallies do count() end
  else
    at = at + length
  end
end

for index, r in pairs(records) do
  if not r.absent then write_quota(KEYS[index + 5], r) end
end
for _, name in ipairs(order) do
  local s = scopes[name]
  local bytes = pack('<BBBI4I6I6I4', 1, s.must_probe, s.reason, s.gen, s.until_, s.blocked_at, s.strikes)
  call('HSET', KEYS[2], name, bytes)
  call('ZADD', KEYS[3], string.format('%.0f', s.generation), name)
end
if #order > 0 then
  local old = call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', wall - KEPT_FOR), 'LIMIT', 0, 100)
  for _, name in ipairs(old) do
    call('HDEL', KEYS[2], name)
    call('ZREM', KEYS[3], name)
  end
  call('PEXPIRE', KEYS[2], KEPT_FOR)
  call('PEXPIRE', KEYS[3], KEPT_FOR)
end
for index, i in pairs(issuers) do
  call('SET', KEYS[index + 5], pack('<BI6I6', 1, wall, i.newest + 1) .. string.char(unpack(i.seen)), 'PX', 25 * 3600000)
end
local counted = false
for name, c in pairs(counters) do
  call('HSET', KEYS[4], name, pack('<BI6I6I6I6', 1, c[1], c[2], c[3], c[4]))
  counted = true
end
if counted then call('PEXPIRE', KEYS[4], 8 * 24 * 3600000) end
write_pool()
local reply = { pack('<I6I6I6', wall, generation, incarnation), table.concat(freed) }
if seen_least < NEVER then changed_since(seen_least, reply) end
return reply
