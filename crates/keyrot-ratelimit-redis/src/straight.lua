-- What mostly happens, by the rules of record.lua and reserve.lua (which has the layout): everybody asks the
-- same, and the first candidate, proven, with no pace and nothing learned, has room for all. No function and no
-- table is made for it, which costs Lua more than the rest. Whatever else there is to do is left to the rules
-- below; nothing has been written then.
local FRONT, WHOLE = '<BBI6I6I6I4I6I6I4', '<BBI6I6I6I4I6I6I4xxxxxxxxxxxxxxxxxxxxxxxxxxI6xxxxxxI6xxxxI6B'
local questions = ARGV[3]
local times, seen, count, offered = up('<I2I6BI2', questions)
if pool_version == 1 and (known == 0 or known == incarnation) and pool_until - wall >= KEPT_FOR / 2
  and generation <= seen and count > 0 and #questions == 19 + count * 2 then
  local asks, size = up('<I2I6', questions, 10 + count * 2)
  local record, which, rpm, tpm, rpd = up('<I2BI4I6I4', ARGV[2], offered * 17 + 1)
  local bytes = asks == 1 and call('GET', KEYS[record + 4])
  if bytes and #bytes >= 113 and #bytes % 12 == 5 then
    local version, flags, last_now, ahead, begun, requests, tokens, day_end, day_count, rpm_until, tpm_until,
      rpd_until, steps = up(WHOLE, bytes)
    local now = max(last_now, wall + ahead)
    local time = now - ahead
    if version == 1 and flags == 2 and steps == 0 and rpm_until <= now and tpm_until <= now and rpd_until <= now
      and last_now <= wall + ahead + WINDOW and time < day_end and day_end <= time + FURTHEST_DAY_END then
      local from, to, had, held = 114, #bytes, 0, 0
      while from < to do
        local last, left, freed = up('<I6I2I4', bytes, from)
        if last + WINDOW > now then break end
        requests, tokens, from = requests - left, tokens - freed, from + 12
      end
      if from < to and now - begun <= CELL then
        had, held = up('<I2I4', bytes, to - 5)
        to = to - 12
      else
        begun = now
      end
      requests, had, day_count = requests + times, had + times, day_count + times
      tokens, held = tokens + times * size, held + times * size
      if had <= 65535 and held <= U32 and day_count <= U32 and (which % 2 == 0 or requests <= rpm)
        and (which % 4 < 2 or tpm > 0 and tokens <= tpm) and (which < 4 or day_count <= rpd) then
        local key = KEYS[record + 4]
        local front = pack(FRONT, 1, 2, now, ahead, begun, requests, tokens, day_end, day_count)
        local newest = pack('<I6I2I4', now, had, held)
        if from == 114 and to < #bytes and now + WINDOW - ahead <= day_end then
          -- its length stays, and it lives until the day's end as it did: to write all of it costs a quarter more
          call('SETRANGE', key, 0, front)
          call('SETRANGE', key, to, newest)
        else
          local kept = from == 114 and sub(bytes, 41, to) or sub(bytes, 41, 113) .. sub(bytes, from, to)
          call('SET', key, front .. kept .. newest, 'PX', max(now + WINDOW - ahead, day_end) - wall)
        end
        return pack('<I6I6I6BI2BI6I6B', wall, generation, incarnation, 0, times, 255, now, day_end, 0)
      end
    end
  end
end

