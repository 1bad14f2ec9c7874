-- For wrk: asks for each path of a file in turn. Arguments: the file, then the names and
-- values of header fields.
local paths, headers, last = {}, {}, 0

function init(arguments)
   for line in io.lines(arguments[1]) do paths[#paths + 1] = line end
   for one = 2, #arguments, 2 do headers[arguments[one]] = arguments[one + 1] end
end

function request()
   last = last % #paths + 1
   return wrk.format("GET", paths[last], headers)
end
