-- One original a request, each new, for wrk.
local number, thread_number = 0, 0
function setup(thread) thread:set("own", thread_number) thread_number = thread_number + 1 end
function init() mark = os.getenv("BENCH_MARK") end
function request()
  number = number + 1
  local body = '{"originals":["' .. mark .. "-" .. own .. "-" .. number .. '"]}'
  local headers = {["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"), ["Content-Type"] = "application/json"}
  return wrk.format("POST", "/v1/domains/north/pseudonyms", headers, body)
end
function done(summary, latency)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format("result %d %d %f %f %f %f", summary.requests, bad, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
