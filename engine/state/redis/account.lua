-- One account: what is used of it, and who holds slices of the rest. Every number that an owner says is absolute
-- (what it used since it began, what it holds now), so saying it again, or after everything was lost, is right.
--
-- KEYS: the account's hash. It is one key, so that it is in one place also while a cluster moves its slot.
-- Fields: `used`, `lost` and `carry` of it; `out`: of all slices, `held`: by calls of that; `level`, `at`: a
-- bucket's; `about`: whose it is; `live`: owners that hold slices, by when they count as dead; `o:OWNER`: what
-- that one said last: n its number, g its slice, h held of that, s used by slot, a what it was granted last, l
-- lost when it counted as dead, in slot ls.
-- Gives: granted, used, out, held, lost, free, 1 where slices were asked back, ms until it may fit, now.
-- An old call gives -1. Numbers are text where they are kept: whole ones up to 2^53.

local mode, shape, owner = ARGV[1], ARGV[2], ARGV[3]
local seq, g, h = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local need, want, limit = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local period, burst, ttl = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local ends, divisor, said = tonumber(ARGV[13]), tonumber(ARGV[14]), cjson.decode(ARGV[15])
local about, carried, slot_ms = ARGV[16], tonumber(ARGV[17]), tonumber(ARGV[18])
local channel, name = ARGV[19], ARGV[20]
local now = tonumber(ARGV[21])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local counts = shape == 'window' or shape == 'rolling'

local function text(number) return string.format('%.0f', number) end
local function number(field) return tonumber(redis.call('HGET', KEYS[1], field) or 0) end
local function slots(field)
  local there = redis.call('HGET', KEYS[1], field)
  return there and cjson.decode(there) or {}
end
local function add(where, slot, amount) where[slot] = text((tonumber(where[slot]) or 0) + amount) end
local function all(where)
  local total = 0
  for _, amount in pairs(where) do total = total + tonumber(amount) end
  return total
end
local function gone(slot) return shape == 'rolling' and (tonumber(slot) + 1) * slot_ms + period <= now end
local function prune(where)
  for slot in pairs(where) do
    if gone(slot) then where[slot] = nil end
  end
end
local said_last = {}  -- rows that are to be written
local function row_of(who)
  if said_last[who] then return said_last[who], true end
  local there = redis.call('HGET', KEYS[1], 'o:' .. who)
  if there then return cjson.decode(there), true end
  return {n = '0', g = '0', h = '0', a = '0', l = '0', ls = '0', s = {}}, false
end

local here = shape == 'rolling' and text(math.floor(now / slot_ms)) or '0'
local used, lost = slots('used'), slots('lost')
local out, held, carry = number('out'), number('held'), number('carry')
prune(used)
prune(lost)

-- Owners that said nothing for too long: their slices count as used, places come free.
local live, late = slots('live'), {}
for who, dies in pairs(live) do
  if tonumber(dies) <= now then late[#late + 1] = who end
end
for _, who in ipairs(late) do
  local row = row_of(who)
  local had = tonumber(row.g)
  out = out - had
  held = held - tonumber(row.h)
  if counts and had > 0 then
    add(used, here, had)
    add(lost, here, had)
  end
  if shape ~= 'places' then row.l, row.ls = text(tonumber(row.l) + had), here end
  row.g, row.h = '0', '0'
  said_last[who], live[who] = row, nil
end

local level, at
if shape == 'bucket' then
  level, at = tonumber(redis.call('HGET', KEYS[1], 'level') or burst), tonumber(redis.call('HGET', KEYS[1], 'at') or now)
  if now > at then
    level = level + (now - at) * limit / period
    at = now
  end
  level = math.min(level, burst - out)
end

local function free_now()
  if counts then return limit - all(used) - out - carry end
  if shape == 'bucket' then return math.floor(level) end
  return limit - out
end

local granted, asked, retry = 0, 0, -1
local function keep()
  for who, row in pairs(said_last) do redis.call('HSET', KEYS[1], 'o:' .. who, cjson.encode(row)) end
  redis.call('HSET', KEYS[1], 'out', text(out), 'held', text(held), 'live', cjson.encode(live))
  if counts then redis.call('HSET', KEYS[1], 'used', cjson.encode(used), 'lost', cjson.encode(lost), 'carry', text(carry)) end
  if level then redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', text(at)) end
  if about ~= '' then redis.call('HSET', KEYS[1], 'about', about) end
  if ends > 0 then redis.call('PEXPIRE', KEYS[1], text(math.max(3600000, ends - now))) -- whose clock is wrong may be this one
  else
    local full = level and limit > 0 and math.ceil(burst * period / limit) or 0 -- a bucket is missed until it is full
    redis.call('PEXPIRE', KEYS[1], text(math.max(2 * period, full) + 6 * ttl))
  end
end

if mode == 'restore' then
  -- What a dead owner is known to have used at least, from the journal of its host.
  if live[owner] then return {0} end
  local row, there = row_of(owner)
  if not there and g > 0 then
    add(used, here, g)
    add(lost, here, g)
    row.l, row.ls = text(g), here
  end
  for slot, amount in pairs(said) do
    local more = tonumber(amount) - (tonumber(row.s[slot]) or 0)
    if more > 0 and not gone(slot) then
      local taken = there and math.min(more, tonumber(row.l)) or 0
      if taken > 0 then
        if used[row.ls] then add(used, row.ls, -taken) end
        if lost[row.ls] then add(lost, row.ls, -taken) end
        row.l = text(tonumber(row.l) - taken)
      end
      add(used, slot, more)
      row.s[slot] = amount
    end
  end
  said_last[owner] = row
  keep()
  return {1}
end

if mode == 'work' then
  local row = row_of(owner)
  if seq < tonumber(row.n) then return {-1} end
  if seq == tonumber(row.n) then
    granted = tonumber(row.a)
  else
    local had, back = tonumber(row.g), tonumber(row.l)
    if back > 0 then  -- it counted as dead and was only slow: what it says itself is right
      if used[row.ls] and counts then add(used, row.ls, -back) end
      if lost[row.ls] and counts then add(lost, row.ls, -back) end
      row.l = '0'
    end
    local more = 0
    for slot, amount in pairs(said) do
      local new = tonumber(amount) - (tonumber(row.s[slot]) or 0)
      row.s[slot] = amount
      more = more + new
      if counts and not gone(slot) then add(used, slot, new) end
    end
    prune(row.s)
    out = out + g - had
    held = held + h - tonumber(row.h)
    if level then
      level = level + had + back - g - more
      level = math.min(level, burst - out)
    end
    carry = math.max(carry, carried)
    local free = free_now()
    if need > 0 and free >= need then
      granted = math.max(need, math.min(want, math.floor(free / divisor)))
    elseif need > 0 then
      if free + out - g >= need then
        asked = 1
        redis.call('PUBLISH', channel, name)
      end
      if level then retry = math.ceil((need - level) * period / limit)
      elseif shape == 'rolling' then
        local order, freed = {}, free
        for slot in pairs(used) do order[#order + 1] = tonumber(slot) end
        table.sort(order)
        for _, slot in ipairs(order) do
          freed = freed + tonumber(used[text(slot)])
          if freed >= need then
            retry = (slot + 1) * slot_ms + period - now
            break
          end
        end
      end
    else
      granted = math.max(0, math.min(want, math.floor(free / divisor)))
    end
    out = out + granted
    if level then level = level - granted end
    row.n, row.g, row.h, row.a = text(seq), text(g + granted), text(h), text(granted)
    said_last[owner], live[owner] = row, g + granted > 0 and text(now + ttl) or nil
    keep()
  end
end

return {granted, all(used) + carry, out, held, all(lost), free_now(), asked, retry, now}
