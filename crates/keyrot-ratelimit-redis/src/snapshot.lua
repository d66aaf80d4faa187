-- Reads. KEYS: blocks, counters, then quota records. ARGV: the time if the caller sets it (tests do)
-- else 0, the number of names of scopes, these names, then key ids.
-- Replies { now, records of quota ..., records of scopes ..., counters ... }; '' stands for none.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local reply, scopes = { string.format('%.0f', now) }, tonumber(ARGV[2])
for i = 3, #KEYS do reply[#reply + 1] = redis.call('GET', KEYS[i]) or '' end
for i = 3, #ARGV do
  reply[#reply + 1] = redis.call('HGET', i - 2 <= scopes and KEYS[1] or KEYS[2], ARGV[i]) or ''
end
return reply
