-- Addresses of a catalogue, 10,000 of them in an order that is random, but the
-- same in each round. Run in this folder.
-- Arguments: what is asked for (product, list, search or file), and the
-- catalogue's number of rows.
dofile("requests.lua")

local addresses = {
  product = function(rows) return "/products/p" .. math.random(rows) end,
  list = function(rows) return "/list?after=" .. (math.random(rows) - 1) end,
  search = function(rows) return "/search?q=w" .. (math.random(rows / 50) - 1) end,
  file = function() return "/1k.txt" end,
}

function init(arguments)
  local address, rows = addresses[arguments[1]], tonumber(arguments[2])
  math.randomseed(1)
  for place = 1, 10000 do
    requests[place] = wrk.format("GET", address(rows))
  end
end
