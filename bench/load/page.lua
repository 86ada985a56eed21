-- Each of the 10,000 product pages in turn. The requests are made before the
-- round, so that the load generator has little to do during it.
-- Run in this folder.
dofile("report.lua")

local requests, sent = {}, 0

function init()
  for product = 1, 10000 do
    requests[product] = wrk.format("GET", "/products/product-" .. product)
  end
  shuffle(requests)
end

function request()
  sent = sent % #requests + 1
  return requests[sent]
end
