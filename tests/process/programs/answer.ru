# A Rack application for puma and thin: it answers /NAME with the name, and a POST with its body; what it was called with is
# noted where a test wants to know it (REQUEST_LOG).
run(lambda do |env|
  method, path, query = env['REQUEST_METHOD'], env['PATH_INFO'], env['QUERY_STRING'].to_s
  target = query.empty? ? path : "#{path}?#{query}"
  File.open(ENV['REQUEST_LOG'], 'ab') { |log| log.syswrite("#{method} #{target}\n") } if ENV['REQUEST_LOG']
  sleep 0.3 if path == '/slow'
  body = method == 'POST' ? env['rack.input'].read : "#{path[1..-1]}\n"
  [200, { 'Content-Type' => 'application/octet-stream', 'Content-Length' => body.bytesize.to_s }, [body]]
end)
