-- Puts client keys. KEYS: all keys (digest -> text), the proof of their secret, the version.
-- ARGV: the proof, the time, a name that must be free (or none), then digest and text of each.
-- Gives `ok`, `taken`, or `secret` where the others' hashes are made under another.
local name, now = ARGV[3], tonumber(ARGV[2])
if redis.call('HGET', KEYS[1], ARGV[4]) == ARGV[5] then return 'ok' end
local proof = redis.call('GET', KEYS[2])
for _, text in ipairs(redis.call('HVALS', KEYS[1])) do
  local key = cjson.decode(text)
  if key.revoked == cjson.null then
    if proof and proof ~= ARGV[1] then return 'secret' end
    if key.name == name and (key.expires == cjson.null or key.expires > now) then return 'taken' end
  end
end
redis.call('SET', KEYS[2], ARGV[1])
for at = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('INCR', KEYS[3])
return 'ok'
