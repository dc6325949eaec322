-- Starts or renews a lease. KEYS[1]: the lease. KEYS[2]: the gateway's newest epoch. ARGV: epoch, milliseconds, what the lease says.
-- Answers 1, or 0 for an epoch that a later one has ended.
local newest = tonumber(redis.call('GET', KEYS[2]) or '0')
local epoch = tonumber(ARGV[1])
if epoch < newest then
  return 0
end
if epoch > newest then
  redis.call('SET', KEYS[2], ARGV[1])
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
return 1
