-- For wrk: asks for each path of a file in turn. Arguments: the file, the Accept header.
local paths, headers, last = {}, {}, 0

function init(arguments)
   for line in io.lines(arguments[1]) do paths[#paths + 1] = line end
   headers["Accept"] = arguments[2]
end

function request()
   last = last % #paths + 1
   return wrk.format("GET", paths[last], headers)
end
