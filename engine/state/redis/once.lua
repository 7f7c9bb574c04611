-- Who asks first. KEYS: what is asked for. ARGV: who asks, for how long in ms.
-- Gives 1 to the first, and to the same one again.
local there = redis.call('GET', KEYS[1])
if there == ARGV[1] then return 1 end
if there then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
