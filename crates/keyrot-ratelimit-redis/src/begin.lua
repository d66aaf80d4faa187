-- What the scripts that work on records begin with.
-- Times are ms since 1970. Everything is read first, worked on and written at the end, so that a script that
-- stops with an error has changed nothing.
local up, pack, sub, floor, max, min = struct.unpack, struct.pack, string.sub, math.floor, math.max, math.min
local call, NEVER, U32 = redis.call, math.huge, 4294967295
local MINUTE, WINDOW, CELL = 60000, 61000, 968
local LEARNED_FOR, STEP_FOR, LAST_STEP_IS, FURTHEST_DAY_END = 86400000, 1800000, 4, 49 * 3600000
local KEPT_FOR = 50 * 3600000

-- ARGV[1]: the time if the caller sets it (tests do) else 0, the incarnation that the caller knows or 0,
-- then midnights in Los Angeles around the caller's time, the first one at least a day ago.
local wall, known = up('<I6I6', ARGV[1])
if wall == 0 then
  local time = call('TIME')
  wall = time[1] * 1000 + floor(time[2] / 1000)
end

-- The pool: KEYS[1] holds its incarnation (when its memory began), the generation of its blocks, and
-- until when this key lives.
local pool_bytes, pool_version, incarnation, generation, pool_until = call('GET', KEYS[1]), 1, wall, 0, 0
if pool_bytes then pool_version, incarnation, generation, pool_until = up('<BI6I6I6', pool_bytes) end

