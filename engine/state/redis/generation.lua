-- The store's generation: the one that is there, or a new one where there is none or the server is another.
-- KEYS: the key. ARGV: the server's run id, some random text, the channel on which a new one is told.
-- Gives: it, how old it is in ms, the server's time in ms, 1 where it was made now.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local there = redis.call('GET', KEYS[1])
if there and string.sub(there, 1, #ARGV[1] + 1) == ARGV[1] .. '|' then
  local began = tonumber(string.match(there, '|(%d+)|')) or now
  return {there, now - began, now, 0}
end
there = ARGV[1] .. '|' .. string.format('%.0f', now) .. '|' .. ARGV[2]
redis.call('SET', KEYS[1], there)
redis.call('PUBLISH', ARGV[3], there)
return {there, 0, now, 1}
