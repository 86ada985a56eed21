-- Shared by the load scripts: what they send, and at the end of a round one line of JSON on
-- standard output. Latencies are in microseconds, as wrk keeps them.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nround {"requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, "failed": %d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

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
