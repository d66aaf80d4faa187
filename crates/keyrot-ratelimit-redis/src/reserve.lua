-- Grants asks. KEYS: pool, blocks, changes, then quota records.
-- ARGV[2]: candidates, 17 bytes each: index of a record (from 0), limits.
-- ARGV[3]: calls, each kind once: how many are of it (2 bytes), seen (6), number of candidates (1), their indexes
-- (2 each), number of asks (2), then for each ask its tokens (6) and the ms for which a probe slot is taken (2).
-- Replies { now, generation, incarnation, 1 if something was forgotten else 0 (19 bytes) and answers,
-- name, generation, record of each changed scope ... }, or its first part alone. An answer: to how many asks in a
-- row (2), for each candidate without room the code of the reason (1) and when there is room (6; 2^48 - 1: never),
-- then 255, when it was taken (6), the day's end (6), 1 if it took a probe slot (1); or 254 if nobody has
-- room. Calls that have not seen all blocks are answered with 253, each as if it were one ask.
local candidates, calls, records, parsed = ARGV[2], ARGV[3], {}, {}
local answers, seen_least, at = {}, NEVER, 1
local forgot = known ~= 0 and known ~= incarnation

local function candidate(index)
  local one = parsed[index]
  if one then return one end
  local record = up('<I2', candidates, index * 17 + 1)
  local rpm, tpm, rpd = read_limits(candidates, index * 17 + 3)
  local r = records[record]
  if not r then
    r = read_quota(call('GET', KEYS[record + 4]))
    records[record] = r
  end
  one = { r = r, limits = { rpm = rpm, tpm = tpm, rpd = rpd } }
  parsed[index] = one
  return one
end

-- The same ask so many times: the answer to one that is granted, and how many are. A refusal holds until the
-- record changes.
local function ask(one, size, ttl, times)
  local r = one.r
  if one.changes == r.changes and one.size == size then return nil end
  local taken_at, when, why = quota_reserve(r, size, one.limits, ttl)
  if taken_at then
    local more = times > 1 and quota_reserve_more(r, size, one.limits, times - 1) or 0
    return pack('<BI6I6B', 255, taken_at, r.day_end, when and 1 or 0), 1 + more
  end
  one.changes, one.size = r.changes, size
  one.refusal = pack('<BI6', why, when == NEVER and 281474976710655 or when)
  return nil
end

-- Grants the same ask so many times, each to the first with room.
local function grant(offered, count, size, ttl, times)
  while times > 0 do
    local refusals, granted, many = '', '\254', times
    for i = offered, offered + count * 2 - 2, 2 do
      local one = candidate((up('<I2', calls, i)))
      -- a grant may change what was refused before it: then they are answered one by one
      local answer, so_many = ask(one, size, ttl, refusals == '' and times or 1)
      if answer then
        granted, many = answer, so_many
        break
      end
      refusals = refusals .. one.refusal
    end
    if refusals ~= '' then granted = refusals .. granted end
    answers[#answers + 1] = pack('<I2', many) .. granted
    times = times - many
  end
end

while not forgot and at <= #calls do
  local times, seen, count, offered = up('<I2I6B', calls, at)
  local asks, first = up('<I2', calls, offered + count * 2)
  local ends = first + asks * 8
  if generation > seen then
    seen_least, at = min(seen_least, seen), ends
    answers[#answers + 1] = pack('<I2B', times, 253)
  else
    -- callers of one pool often ask the very same: it is granted to all of them at once, if it is one ask
    local rounds = 1
    if asks ~= 1 then rounds, times = times, 1 end
    for _ = 1, rounds do
      local alike = 1
      for i = first, ends - 8, 8 do
        if i < ends - 8 and sub(calls, i, i + 7) == sub(calls, i + 8, i + 15) then
          alike = alike + 1
        else
          local size, ttl = up('<I6I2', calls, i)
          grant(offered, count, size, ttl, alike * times)
          alike = 1
        end
      end
    end
    at = ends
  end
end

for index, r in pairs(records) do write_quota(KEYS[index + 4], r) end
write_pool()
local reply = { pack('<I6I6I6B', wall, generation, incarnation, forgot and 1 or 0) .. table.concat(answers) }
if seen_least < NEVER then changed_since(seen_least, reply) end
return reply
