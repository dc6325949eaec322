-- Removes exactly these seats. KEYS[1]: a bucket. ARGV: of each its field and its seat.
for at = 1, #ARGV, 2 do
  local field, seat = ARGV[at], ARGV[at + 1]
  local seats = redis.call('HGET', KEYS[1], field)
  if seats == seat then
    redis.call('HDEL', KEYS[1], field)
  elseif seats then
    local kept, from = '', 1
    while from <= #seats do
      local length = string.byte(seats, from)
      local other = string.sub(seats, from, from + length)
      from = from + length + 1
      if other ~= seat then
        kept = kept .. other
      end
    end
    if kept ~= seats then
      redis.call('HSET', KEYS[1], field, kept)
    end
  end
end
return #ARGV / 2
