-- The rules of keyrot-core's records: quota.rs, window.rs, pace.rs, proof.rs and scope.rs say why, this
-- file repeats what, byte for byte. tests/differential.rs holds both against each other.
local function fail(message) error('keyrot:' .. message .. ';', 0) end

local function day_end_of(time)
  if time < up('<I6', ARGV[1], 13) then fail('DAYS ' .. wall) end
  for at = 19, #ARGV[1], 6 do
    local midnight = up('<I6', ARGV[1], at)
    if midnight > time then return midnight end
  end
  fail('DAYS ' .. wall)
end

if pool_version ~= 1 then fail('INCOMPATIBLE pool record ' .. pool_version) end

local function write_pool()
  local bytes = pack('<BI6I6I6', 1, incarnation, generation, pool_until)
  if bytes ~= pool_bytes or pool_until - wall < KEPT_FOR / 2 then
    pool_until = wall + KEPT_FOR
    call('SET', KEYS[1], pack('<BI6I6I6', 1, incarnation, generation, pool_until), 'PX', KEPT_FOR)
  end
end

-- Quota records ------------------------------------------------------------------------------------
-- The newest cell is kept apart (last, last_requests, last_tokens; last is nil if there is none), the
-- older ones stay bytes: body[from .. to].
local HEADER = '<BBI6I6I6I4I6I6I4I6I6I2I6I2I4I6I6I6I4I6BI6I8I4'

local function read_quota(bytes)
  if not bytes then
    return { flags = 0, last_now = 0, ahead = 0, begun = 0, requests = 0, tokens = 0, day_end = 0, day_count = 0,
      doubted_at = 0, started1 = 0, lasts1 = 0, started2 = 0, lasts2 = 0, rpm = 0, rpm_until = 0, tpm = 0,
      tpm_until = 0, rpd = 0, rpd_until = 0, steps = 0, stepped_at = 0, due_us = 0, interval_us = 0,
      day_gone = false, proven = false, body = '', from = 1, to = 0, changes = 0 }
  end
  local size = #bytes
  if string.byte(bytes) ~= 1 then fail('INCOMPATIBLE quota record ' .. (string.byte(bytes) or 'empty')) end
  if size < 113 or (size - 113) % 12 ~= 0 then fail('INCOMPATIBLE quota record of ' .. size .. ' bytes') end
  local _, flags, last_now, ahead, begun, requests, tokens, day_end, day_count, doubted_at, started1, lasts1, started2,
    lasts2, rpm, rpm_until, tpm, tpm_until, rpd, rpd_until, steps, stepped_at, due_us, interval_us = up(HEADER, bytes)
  local last, last_requests, last_tokens
  if size > 113 then last, last_requests, last_tokens = up('<I6I2I4', bytes, size - 11) end
  return { stored = bytes, last_now = last_now, ahead = ahead, begun = begun, requests = requests, tokens = tokens,
    day_end = day_end, day_count = day_count, doubted_at = doubted_at, started1 = started1, lasts1 = lasts1,
    started2 = started2, lasts2 = lasts2, rpm = rpm, rpm_until = rpm_until, tpm = tpm, tpm_until = tpm_until,
    rpd = rpd, rpd_until = rpd_until, steps = steps, stepped_at = stepped_at, due_us = due_us,
    interval_us = interval_us, day_gone = flags % 2 == 1, proven = flags >= 2, body = bytes, from = 114,
    to = size > 113 and size - 12 or size, last = last, last_requests = last_requests, last_tokens = last_tokens,
    changes = 0 }
end

-- Stored if more than its time has changed; it lives until it says nothing any more.
local function write_quota(key, r)
  local cells = r.to >= r.from and sub(r.body, r.from, r.to) or ''
  local newest = r.last and pack('<I6I2I4', r.last, r.last_requests, r.last_tokens) or ''
  local flags = (r.day_gone and 1 or 0) + (r.proven and 2 or 0)
  local bytes = pack(HEADER, 1, flags, r.last_now, r.ahead, r.begun, r.requests, r.tokens, r.day_end, r.day_count,
    r.doubted_at, r.started1, r.lasts1, r.started2, r.lasts2, r.rpm, r.rpm_until, r.tpm, r.tpm_until, r.rpd,
    r.rpd_until, r.steps, r.stepped_at, r.due_us, r.interval_us) .. cells .. newest
  local old = r.stored
  -- the counts at its beginning tell mostly; the server hashes each string that is cut out
  if old and #old == #bytes and sub(old, 9, 40) == sub(bytes, 9, 40) and sub(old, 41) == sub(bytes, 41)
    and sub(old, 1, 2) == sub(bytes, 1, 2) then return end
  local minute = r.last and r.last + WINDOW or 0
  local ends = max(minute, r.rpm_until, r.tpm_until, r.rpd_until, r.stepped_at + r.steps * STEP_FOR)
  call('SET', key, bytes, 'PX', max(1, max(ends - r.ahead, r.day_end) - wall))
end

-- The minute

local function window_advance(r, now)
  while r.from < r.to do
    local last, requests, tokens = up('<I6I2I4', r.body, r.from)
    if last + WINDOW > now then return end
    r.requests, r.tokens, r.from = r.requests - requests, r.tokens - tokens, r.from + 12
  end
  if r.last and r.last + WINDOW <= now then
    r.requests, r.tokens, r.last = r.requests - r.last_requests, r.tokens - r.last_tokens, nil
  end
end

local function window_book(r, now, requests, tokens)
  r.requests, r.tokens = r.requests + requests, r.tokens + tokens
  if now - r.begun <= CELL and r.last and r.last_requests + requests <= 65535 and r.last_tokens + tokens <= U32 then
    r.last, r.last_requests, r.last_tokens = now, r.last_requests + requests, r.last_tokens + tokens
    return
  end
  if r.last then
    r.body = sub(r.body, r.from, r.to) .. pack('<I6I2I4', r.last, r.last_requests, r.last_tokens)
    r.from, r.to = 1, #r.body
  end
  r.begun, r.last, r.last_requests, r.last_tokens = now, now, requests, tokens
end

local function put_cell(r, at, last, requests, tokens)
  r.body = sub(r.body, r.from, at - 1) .. pack('<I6I2I4', last, requests, tokens) .. sub(r.body, at + 12, r.to)
  r.from, r.to = 1, #r.body
end

local function window_insert(r, at, requests, tokens)
  for pos = r.from, r.to - 11, 12 do
    local last, had, held = up('<I6I2I4', r.body, pos)
    if last >= at and had + requests <= 65535 and held + tokens <= U32 then
      put_cell(r, pos, last, had + requests, held + tokens)
      r.requests, r.tokens = r.requests + requests, r.tokens + tokens
      return
    end
  end
  if r.last and r.last >= at and r.last_requests + requests <= 65535 and r.last_tokens + tokens <= U32 then
    r.last_requests, r.last_tokens = r.last_requests + requests, r.last_tokens + tokens
    r.requests, r.tokens = r.requests + requests, r.tokens + tokens
    return
  end
  window_book(r, max(r.last or at, at), requests, tokens)
end

local function window_give_back(r, now, taken_at, requests, tokens)
  if taken_at + WINDOW <= now then return end
  local low, high = 0, floor((r.to - r.from + 1) / 12)
  while low < high do
    local middle = floor((low + high) / 2)
    if up('<I6', r.body, r.from + middle * 12) >= taken_at then high = middle else low = middle + 1 end
  end
  local pos = r.from + low * 12
  if pos < r.to then
    local last, had, held = up('<I6I2I4', r.body, pos)
    requests, tokens = min(requests, had), min(tokens, held)
    put_cell(r, pos, last, had - requests, held - tokens)
  elseif r.last and r.last >= taken_at then
    requests, tokens = min(requests, r.last_requests), min(tokens, r.last_tokens)
    r.last_requests, r.last_tokens = r.last_requests - requests, r.last_tokens - tokens
  else
    return
  end
  r.requests, r.tokens = r.requests - requests, r.tokens - tokens
  if requests > 0 or tokens > 0 then r.changes = r.changes + 1 end
end

local function window_freed_at(r, requests, tokens)
  for pos = r.from, r.to - 11, 12 do
    local last, had, held = up('<I6I2I4', r.body, pos)
    requests, tokens = requests - had, tokens - held
    if requests <= 0 and tokens <= 0 then return last + WINDOW end
  end
  if r.last and requests <= r.last_requests and tokens <= r.last_tokens then return r.last + WINDOW end
  return NEVER
end

-- The pace

local function last_step(rpm)
  local _, bits = math.frexp(max(rpm, 1))
  return bits
end

local function burst_of(r, rpm) return max(floor(rpm / 2 ^ r.steps), 1) end

local function interval_of(r, rpm)
  if r.steps >= last_step(rpm) then return floor(WINDOW * 1000 / max(rpm - 1, 1)) end
  return floor(60000000 / rpm)
end

local function pace_advance(r, now)
  while r.steps > 0 and r.stepped_at + STEP_FOR <= now do
    r.steps, r.stepped_at = r.steps - 1, r.stepped_at + STEP_FOR
  end
end

local function pace_tighten(r, now, rpm, since)
  if r.steps > 0 and since <= r.stepped_at then return end
  local last = last_step(rpm)
  r.steps, r.stepped_at = r.steps + 1 < last and r.steps + 1 or last + LAST_STEP_IS - 1, now
  r.due_us, r.interval_us = max(r.due_us, now * 1000 + burst_of(r, rpm) * interval_of(r, rpm)), 0
end

local function pace_not_before(r, rpm)
  local due = max(r.due_us - (burst_of(r, rpm) - 1) * interval_of(r, rpm), 0)
  local part = due % 1000
  return (due - part) / 1000 + (part > 0 and 1 or 0)
end

-- Proof

local function establish(r)
  r.proven, r.doubted_at, r.started1, r.lasts1, r.started2, r.lasts2 = true, 0, 0, 0, 0, 0
end

local function proves_at(r, started, lasts)
  return lasts >= 1000 and started > r.doubted_at and started + 1000 or NEVER
end

local function proof_advance(r, now)
  if not r.proven and (proves_at(r, r.started1, r.lasts1) <= now or proves_at(r, r.started2, r.lasts2) <= now) then
    establish(r)
  end
end

local function proof_take(r, now, ttl)
  if r.proven then return false end
  local lasts = min(max(ttl, 1), MINUTE)
  if r.started1 + r.lasts1 <= now then
    r.started1, r.lasts1 = now, lasts
  elseif r.started2 + r.lasts2 <= now then
    r.started2, r.lasts2 = now, lasts
  end
  return true
end

local function proof_ready_at(r, now)
  local ends1, ends2 = r.started1 + r.lasts1, r.started2 + r.lasts2
  if r.proven or ends1 <= now or ends2 <= now then return nil end
  return min(ends1, ends2, proves_at(r, r.started1, r.lasts1), proves_at(r, r.started2, r.lasts2))
end

local function proof_free(r, taken_at)
  if r.lasts1 > 0 and r.started1 == taken_at then
    r.started1, r.lasts1 = 0, 0
  elseif r.lasts2 > 0 and r.started2 == taken_at then
    r.started2, r.lasts2 = 0, 0
  end
end

-- The record

local function pass_to(r, now)
  r.last_now = now
  window_advance(r, now)
  local time = now - r.ahead
  if time >= r.day_end then
    r.day_end, r.day_count, r.day_gone = day_end_of(time), 0, false
  elseif r.day_end > time + FURTHEST_DAY_END then
    r.day_end = day_end_of(time)
  end
  proof_advance(r, now)
  pace_advance(r, now)
end

local function advance(r)
  if wall + r.ahead + WINDOW < r.last_now then r.ahead = r.last_now - wall end
  local now = max(r.last_now, wall + r.ahead)
  if r.passed ~= now then pass_to(r, now) end
  r.passed = now
  return now
end

local function lower(limit, learned, until_, now)
  if until_ > now and (not limit or learned < limit) then return learned end
  return limit
end

-- Limits travel as 15 bytes: which there are, rpm, tpm, rpd.
local function read_limits(bytes, at)
  local which, rpm, tpm, rpd = up('<BI4I6I4', bytes, at)
  return which % 2 == 1 and rpm or nil, floor(which / 2) % 2 == 1 and tpm or nil, which >= 4 and rpd or nil
end

-- When the request would fit and what keeps it out (the code of the reason); nil if it fits.
local function denied(r, now, size, limits)
  local rpm = lower(limits.rpm, r.rpm, r.rpm_until, now)
  local tpm = lower(limits.tpm, r.tpm, r.tpm_until, now)
  local rpd = lower(limits.rpd, r.rpd, r.rpd_until, now)
  -- mostly it fits
  if rpm ~= 0 and tpm ~= 0 and rpd ~= 0 and (not tpm or size <= U32 and r.tokens + size <= tpm)
    and (not rpm or r.requests < rpm and (r.steps == 0 or pace_not_before(r, rpm) <= now))
    and not r.day_gone and (not rpd or r.day_count < rpd)
    and (r.proven or not proof_ready_at(r, now)) then
    return nil
  end
  local worst, why
  local function keep(at, reason)
    if not worst or worst ~= NEVER and at > worst then worst, why = at, reason end
  end
  if rpm == 0 or tpm == 0 or rpd == 0 then keep(NEVER, 7) end
  if tpm then
    if size > min(tpm, U32) then
      keep(NEVER, 17)
    elseif r.tokens + size > tpm then
      keep(window_freed_at(r, 0, r.tokens + size - tpm), 15)
    end
  end
  if rpm and rpm > 0 and r.requests >= rpm then keep(window_freed_at(r, r.requests - rpm + 1, 0), 14) end
  if r.day_gone or rpd and r.day_count >= rpd then keep(r.day_end + r.ahead, 2) end
  if r.steps > 0 and rpm and rpm > 0 then
    local at = pace_not_before(r, rpm)
    if at > now then keep(at, 5) end
  end
  if not r.proven then
    local at = proof_ready_at(r, now)
    if at then keep(at, 12) end
  end
  return worst, why
end

-- Brings a refusal forward if a learned limit or a step of the pace ends before it.
local function when_relaxed(r, now, size, limits, worst, why)
  local later, copy = now, nil
  while true do
    local one, at = copy or r, NEVER
    for _, relaxed in ipairs({ one.rpm_until, one.tpm_until, one.rpd_until,
      one.steps > 0 and one.stepped_at + STEP_FOR or 0 }) do
      if relaxed > later and relaxed < at then at = relaxed end
    end
    if at == NEVER or worst <= at then return worst, why end
    if not copy then
      copy = {}
      for name, value in pairs(r) do copy[name] = value end
    end
    pass_to(copy, at)
    local still, reason = denied(copy, at, size, limits)
    if not still then return at, why end
    worst, why, later = still, reason, at
  end
end

-- taken_at, probe; or nil, when, reason.
local function quota_reserve(r, size, limits, ttl)
  local now = advance(r)
  local worst, why = denied(r, now, size, limits)
  if worst then
    if r.rpm_until > now or r.tpm_until > now or r.rpd_until > now or r.steps > 0 then
      worst, why = when_relaxed(r, now, size, limits, worst, why)
    end
    return nil, worst - r.ahead, why
  end
  window_book(r, now, 1, min(size, U32))
  r.day_count = min(r.day_count + 1, U32)
  local rpm = lower(limits.rpm, r.rpm, r.rpm_until, now)
  if r.steps > 0 and rpm and rpm > 0 then
    r.interval_us = interval_of(r, rpm)
    r.due_us = max(r.due_us, now * 1000) + r.interval_us
  end
  r.changes = r.changes + 1
  return now, proof_take(r, now, ttl)
end

-- How many more of the same fit beside the one just taken: in its cell, with no proof and no pace to look at.
-- They are taken.
local function quota_reserve_more(r, size, limits, most)
  if not r.proven or r.steps > 0 then return 0 end
  local now = r.last_now
  local rpm = lower(limits.rpm, r.rpm, r.rpm_until, now)
  local tpm = lower(limits.tpm, r.tpm, r.tpm_until, now)
  local rpd = lower(limits.rpd, r.rpd, r.rpd_until, now)
  if rpm then most = min(most, rpm - r.requests) end
  if rpd then most = min(most, rpd - r.day_count) end
  most = min(most, 65535 - r.last_requests, U32 - r.day_count)
  if size > 0 then most = min(most, floor((min(tpm or NEVER, r.tokens - r.last_tokens + U32) - r.tokens) / size)) end
  if most < 1 then return 0 end
  r.requests, r.last_requests, r.day_count = r.requests + most, r.last_requests + most, r.day_count + most
  r.tokens, r.last_tokens, r.changes = r.tokens + most * size, r.last_tokens + most * size, r.changes + most
  return most
end

-- Blocks: KEYS[2] is a hash from a scope's name to its record, KEYS[3] a sorted set of these names by
-- the generation of their last change. The changes after a generation: name, generation, record ...
local function changed_since(seen, reply)
  if generation <= seen then return end
  local names = call('ZRANGEBYSCORE', KEYS[3], '(' .. string.format('%.0f', seen), '+inf', 'WITHSCORES')
  for i = 1, #names, 2 do
    reply[#reply + 1] = names[i]
    reply[#reply + 1] = names[i + 1]
    reply[#reply + 1] = call('HGET', KEYS[2], names[i]) or ''
  end
end
