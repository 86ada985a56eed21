-- 95 readings of product pages to 5 writings of a product's stock, mixed.
-- Run in this folder.
dofile("requests.lua")

function init()
  local headers = {
    ["Content-Type"] = "application/x-www-form-urlencoded",
    ["Origin"] = "http://" .. wrk.headers["Host"],
    ["Sec-Fetch-Site"] = "same-origin",
  }
  -- Two passes, so that each writing finds another number than its own.
  for at = 1, 20000 do
    local product = (at - 1) % 10000 + 1
    if at % 20 == 0 then
      local form = "product=" .. product - 1 .. "&stock=" .. at % 997
      requests[at] = wrk.format("POST", "/stock", headers, form)
    else
      requests[at] = wrk.format("GET", "/products/product-" .. product)
    end
  end
  shuffle(requests)
end
