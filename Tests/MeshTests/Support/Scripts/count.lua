-- wrk -tN -cN -s count.lua URL -- COUNT: each thread's connection sends COUNT requests, one in ten for /none, and stops.
-- wrk itself ends with the time that it was given, or when it is interrupted.
local left = 0

function init(arguments)
  left = tonumber(arguments[1])
end

function request()
  return wrk.format("GET", left % 10 == 0 and "/none" or "/ok")
end

function response()
  left = left - 1
  if left == 0 then
    wrk.thread:stop()
  end
end
