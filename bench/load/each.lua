-- The same address with each number from 1 to 10,000, in a random order. The requests
-- are made before the round, so that the load generator has little to do during it.
-- Run in this folder. Argument: the address, with %d for the number.
dofile("requests.lua")

function init(arguments)
  for number = 1, 10000 do
    requests[number] = wrk.format("GET", string.format(arguments[1], number))
  end
  shuffle(requests)
end
