-- Shared by the load scripts that make their requests beforehand.
dofile("report.lua")

-- Puts a list in an order that is random, but the same in each round.
function shuffle(list)
  math.randomseed(1)
  for last = #list, 2, -1 do
    local other = math.random(last)
    list[last], list[other] = list[other], list[last]
  end
end

-- What a script sends: its `init` fills the list, which is then gone through again and again.
requests = {}
local sent = 0

function request()
  sent = sent % #requests + 1
  return requests[sent]
end
