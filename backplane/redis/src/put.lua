-- Makes connections the routes of their devices. KEYS[1]: a bucket.
-- ARGV[1]: how many devices of a user may be connected; then of each route its field, its seat, and seats to drop first.
-- Answers for each 'T' with the seats that went for it, or 'C' with all seats when the caller has to look at leases first:
-- a higher attempt of the device stands there, or there is no place.
local most = tonumber(ARGV[1])
local answers = {}

-- Attempt and gateway epoch; the epoch is an LEB128 number.
local function rank(seat)
  local epoch, scale, at = 0, 1, 16
  while true do
    local byte = string.byte(seat, at)
    epoch = epoch + byte % 128 * scale
    if byte < 128 then
      local attempt = struct.unpack('>I4', seat, 10)
      return attempt, epoch
    end
    scale = scale * 128
    at = at + 1
  end
end

local function place(seats, seat, drop)
  local device = string.sub(seat, 2, 9)
  local kept, gone, count, at = '', '', 0, 1
  while at <= #seats do
    local length = string.byte(seats, at)
    local other = string.sub(seats, at, at + length)
    at = at + length + 1
    local dropped = false
    local from = 1
    while from <= #drop do
      local size = string.byte(drop, from)
      dropped = dropped or string.sub(drop, from, from + size) == other
      from = from + size + 1
    end
    if dropped then
      gone = gone .. other
    elseif string.sub(other, 2, 9) == device then
      local attempt, epoch = rank(seat)
      local standing, of = rank(other)
      if standing > attempt or (standing == attempt and of > epoch) then
        return nil
      end
      gone = gone .. other
    else
      kept = kept .. other
      count = count + 1
    end
  end
  if count >= most then
    return nil
  end
  return kept .. seat, gone
end

for at = 2, #ARGV, 3 do
  local field, seat = ARGV[at], ARGV[at + 1]
  local seats = redis.call('HGET', KEYS[1], field)
  if not seats then
    redis.call('HSET', KEYS[1], field, seat)
    answers[#answers + 1] = 'T'
  else
    local placed, gone = place(seats, seat, ARGV[at + 2])
    if placed then
      if placed ~= seats then
        redis.call('HSET', KEYS[1], field, placed)
      end
      answers[#answers + 1] = 'T' .. gone
    else
      answers[#answers + 1] = 'C' .. seats
    end
  end
end
return answers
