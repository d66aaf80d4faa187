-- Grants asks. KEYS: pool, blocks, changes, then quota records.
-- ARGV[2]: candidates, 17 bytes each: index of a record (from 0), limits.
-- ARGV[3]: calls: seen (6 bytes), number of candidates (1), their indexes (2 each), number of asks (2),
-- then for each ask its tokens (6) and the ms for which a probe slot is taken (2).
-- Replies { now, generation, incarnation, 1 if something was forgotten else 0 (19 bytes),
-- answers, name, generation, record of each changed scope ... }. The answers to one ask: for each
-- candidate without room the code of the reason (1) and when there is room (6; 2^48 - 1: never), then
-- 255, when it was taken (6), the day's end (6), 1 if it took a probe slot (1); or 254 if nobody has
-- room. A call that has not seen all blocks is answered with a single 253.
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

-- Many ask alike: a refusal holds until the record changes.
local function ask(one, size, ttl)
  local r = one.r
  if one.changes == r.changes and one.size == size then return nil end
  local taken_at, when, why = quota_reserve(r, size, one.limits, ttl)
  if taken_at then return pack('<BI6I6B', 255, taken_at, r.day_end, when and 1 or 0) end
  one.changes, one.size = r.changes, size
  one.refusal = pack('<BI6', why, when == NEVER and 281474976710655 or when)
  return nil
end

while not forgot and at <= #calls do
  local seen, count, asks
  seen, count, at = up('<I6B', calls, at)
  local offered = {}
  for i = 1, count do
    offered[i], at = up('<I2', calls, at)
  end
  asks, at = up('<I2', calls, at)
  if generation > seen then
    seen_least, at = min(seen_least, seen), at + asks * 8
    answers[#answers + 1] = '\253'
  else
    for _ = 1, asks do
      local size, ttl
      size, ttl, at = up('<I6I2', calls, at)
      local granted
      for i = 1, count do
        local one = candidate(offered[i])
        granted = ask(one, size, ttl)
        if granted then break end
        answers[#answers + 1] = one.refusal
      end
      answers[#answers + 1] = granted or '\254'
    end
  end
end

for index, r in pairs(records) do write_quota(KEYS[index + 4], r) end
write_pool()
local reply = { pack('<I6I6I6B', wall, generation, incarnation, forgot and 1 or 0), table.concat(answers) }
if seen_least < NEVER then changed_since(seen_least, reply) end
return reply
