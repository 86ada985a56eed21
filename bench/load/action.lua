-- The cart's form: 99 products for each of a number of visitors.
-- Run in this folder. Argument: a file with a line for each visitor, the value
-- of the visitor's Cookie header.
dofile("requests.lua")

function init(arguments)
  for cookie in io.lines(arguments[1]) do
    local headers = {
      ["Content-Type"] = "application/x-www-form-urlencoded",
      ["Cookie"] = cookie,
      ["Origin"] = "http://" .. wrk.headers["Host"],
      ["Sec-Fetch-Site"] = "same-origin",
    }
    for product = 1, 99 do
      requests[#requests + 1] = wrk.format("POST", "/cart", headers, "product=" .. product .. "&qty=1")
    end
  end
  shuffle(requests)
end
