"""Real HTTP clients and what they are asked to do: "URL" and "PORT" stand for the server. `run` says how the text is run ("script" in the
current folder); without it a shell runs it."""

CLIENTS = {
    "curl": {"version": "curl --version", "commands": [
        "curl URL/small", "curl -I URL/small", "curl -0 URL/small", "curl -d a=1 -d b=2 URL/small", "curl -T upload.txt URL/small",
        "curl -F file=@upload.txt -F x=y URL/small", "curl -H 'Transfer-Encoding: chunked' -d @upload.txt URL/small",
        "curl -H 'Expect: 100-continue' -d @upload.txt URL/small", "curl --compressed -b 'a=b; c=\"d e\"' -e URL/ -u user:pass URL/small",
        "curl -r 0-3 -z 'Mon, 30 Nov 2026 00:00:00 GMT' URL/small", "curl -X OPTIONS --request-target '*' URL", "curl -H 'X-Empty;' -H 'X-Name: Zoë ☃' URL/small",
        "curl --http2 URL/small", "curl -g 'URL/small?a[]=1&b={x}&c=|^`\"'", "curl --path-as-is URL/./small", "curl -A '' -H 'Host:' URL/small",
        "curl --noproxy '' -x http://127.0.0.1:PORT http://example.test/small", "curl -X PATCH -H 'Content-Type: application/json' -d '{}' URL/small",
        "curl -X DELETE URL/none", "curl -H 'X_Under: score' -H 'Accept:' URL/small", "curl URL/small URL/small?two",
        "curl -H \"X-Long: $(head -c 6000 /dev/zero | tr '\\0' x)\" URL/small"]},
    "wget": {"version": "wget --version", "commands": [
        "wget -O - URL/small", "wget --spider URL/small", "wget --post-data=a=1 URL/small", "wget --post-file=upload.txt URL/small",
        "wget -c -O upload.txt URL/small", "wget --header='Cookie: a=b' --no-http-keep-alive URL/small", "wget --auth-no-challenge --user=u --password=p URL/small"]},
    "wget2": {"version": "wget2 --version", "commands": ["wget2 -O - URL/small", "wget2 --spider URL/small", "wget2 --post-data=a=1 -O - URL/small"]},
    "ab": {"version": "ab -V", "commands": ["ab -n 2 URL/small", "ab -k -n 2 URL/small", "ab -n 1 -p upload.txt -T text/plain URL/small", "ab -i -n 1 URL/small",
                                            "ab -n 1 -H 'X-A: b' -C a=b URL/small"]},
    "wrk": {"version": "wrk -v", "commands": ["wrk -c 1 -t 1 -d 1 URL/small", "wrk -c 1 -t 1 -d 1 -H 'X-A: b' URL/small?q=1"]},
    "hey": {"version": "hey -h", "commands": ["hey -n 2 -c 1 URL/small", "hey -n 1 -c 1 -m POST -d a=1 URL/small", "hey -n 1 -c 1 -disable-keepalive URL/small"]},
    "siege": {"version": "siege --version", "commands": ["siege -c 1 -r 1 URL/small", "siege -c 1 -r 1 'URL/small POST a=1'"]},
    "h2load": {"version": "h2load --version", "commands": ["h2load --h1 -n 2 -c 1 URL/small"]},
    "httping": {"version": "httping --version", "commands": ["httping -c 1 -g URL/small", "httping -c 1 -G -g URL/small"]},
    "httpie": {"version": "http --version", "commands": ["http --ignore-stdin URL/small", "http --ignore-stdin POST URL/small a=b", "http --ignore-stdin -f POST URL/small a=b",
                                                         "http --ignore-stdin PUT URL/small X-A:b c:=1"]},
    "lynx": {"version": "lynx -version", "commands": ["lynx -dump URL/small", "lynx -head -dump URL/small", "lynx -mime_header URL/small"]},
    "w3m": {"version": "w3m -version", "commands": ["w3m -dump URL/small", "w3m -dump_head URL/small"]},
    "links": {"version": "links -version", "commands": ["links -dump URL/small"]},
    "elinks": {"version": "elinks -version", "commands": ["elinks -dump URL/small"]},
    "chromium": {"version": "chromium --version", "commands": ["timeout 30 chromium --headless --no-sandbox --disable-gpu --dump-dom URL/small"]},
    "aria2": {"version": "aria2c --version", "commands": ["aria2c --allow-overwrite URL/small", "aria2c --allow-overwrite -x 2 --use-head=true URL/small"]},
    "axel": {"version": "axel --version", "commands": ["axel -o out URL/small"]},
    "lftp": {"version": "lftp --version", "commands": ["lftp -c 'get URL/small -o out'", "lftp -c 'open URL; cls'"]},
    "cadaver": {"version": "cadaver --version", "commands": ["echo quit | timeout 5 cadaver URL/small"]},
    "git": {"version": "git --version", "commands": ["timeout 5 git ls-remote URL/small"]},
    "svn": {"version": "svn --version --quiet", "commands": ["timeout 10 svn --non-interactive ls URL/small"]},
    "apt": {"version": "apt --version", "commands": [
        "mkdir -p d/lists/partial d/arch/partial; echo 'deb [trusted=yes] URL/small stable main' > s.list; "
        "timeout 20 apt-get -o Dir::State=$PWD/d -o Dir::State::lists=$PWD/d/lists -o Dir::Cache=$PWD/d -o Dir::Etc::sourcelist=$PWD/s.list "
        "-o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root update"]},
    "busybox-wget": {"version": "busybox", "commands": ["busybox wget -O - URL/small", "busybox wget --spider URL/small", "busybox wget -O - --post-data a=1 URL/small"]},
    "netcat": {"version": "nc -h", "commands": [r"printf 'GET /small HTTP/1.0\r\n\r\n' | nc -q 1 127.0.0.1 PORT", r"printf 'GET /small HTTP/1.1\r\nHost: x\r\n\r\n' | nc -q 1 127.0.0.1 PORT",
                                                r"printf 'GET /small HTTP/1.0\n\n' | nc -q 1 127.0.0.1 PORT"]},
    "openssl-ocsp": {"version": "openssl version", "commands": [
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=x -days 1; timeout 5 openssl ocsp -issuer c -cert c -url URL/small"]},
    "check_http": {"version": "/usr/lib/nagios/plugins/check_http --version", "commands": [
        "/usr/lib/nagios/plugins/check_http -H 127.0.0.1 -p PORT -u /small", "/usr/lib/nagios/plugins/check_http -I 127.0.0.1 -p PORT -u /small -P a=1",
        "/usr/lib/nagios/plugins/check_http -I 127.0.0.1 -p PORT -u /small -j HEAD"]},
    "python-urllib": {"version": "/usr/bin/python3 --version", "run": "/usr/bin/python3 script", "commands": [
        "import urllib.request as u\nu.urlopen('URL/small').read()", "import urllib.request as u\nu.urlopen('URL/small', data=b'a=1').read()",
        "import http.client as h\nc = h.HTTPConnection('127.0.0.1', PORT)\nc.request('PUT', '/small', body=(x for x in [b'a', b'b']), encode_chunked=True)\nc.getresponse().read()\nc.request('GET', '/small?two')\nc.getresponse().read()",
        "import http.client as h\nc = h.HTTPConnection('127.0.0.1', PORT)\nc.request('POST', '/small', body='', headers={'X-A': 'b'})\nc.getresponse().read()"]},
    "python-requests": {"version": "/usr/bin/python3 -c 'import requests; print(requests.__version__)'", "run": "/usr/bin/python3 script", "commands": [
        "import requests as r\ns = r.Session()\ns.get('URL/small', params={'a': 'b c', 'd': 'é'})\ns.post('URL/small', json={'a': 1})\ns.post('URL/small', files={'f': open('upload.txt')})\ns.put('URL/small', data=iter([b'a', b'b']))\ns.head('URL/small')\ns.options('URL/small')"]},
    "python-httpx": {"version": "/usr/bin/python3 -c 'import httpx; print(httpx.__version__)'", "run": "/usr/bin/python3 script", "commands": [
        "import httpx as r\nwith r.Client() as s:\n    s.get('URL/small', params={'a': 'b c'})\n    s.post('URL/small', json={'a': 1})\n    s.post('URL/small', content=iter([b'a', b'b']))"]},
    "python-aiohttp": {"version": "/usr/bin/python3 -c 'import aiohttp; print(aiohttp.__version__)'", "run": "/usr/bin/python3 script", "commands": [
        "import aiohttp, asyncio\nasync def gen():\n    yield b'ab'\n    yield b'c'\nasync def main():\n    async with aiohttp.ClientSession() as s:\n        for w in (s.get('URL/small'), s.post('URL/small', data={'a': '1'}), s.post('URL/small', data=gen()), s.post('URL/small', json=[1])):\n            async with w as r:\n                await r.read()\nasyncio.run(main())"]},
    "node-http": {"version": "node --version", "run": "node script", "commands": [
        "const h = require('http'); h.get('URL/small', r => r.resume())",
        "const h = require('http'); const r = h.request('URL/small', {method: 'POST'}, x => x.resume()); r.write('a'); r.end('b')",
        "const h = require('http'); const r = h.request('URL/small', {method: 'PUT', headers: {'Content-Length': 2, 'X-Two': ['a', 'b']}}, x => x.resume()); r.end('ab')",
        "const h = require('http'); const r = h.request('URL/small', {method: 'POST', headers: {Trailer: 'X-T'}}, x => x.resume()); r.write('a'); r.addTrailers({'X-T': '1'}); r.end()"]},
    "node-fetch": {"version": "node --version", "run": "node script", "commands": [
        "(async () => { await (await fetch('URL/small?a=%20b')).text(); await (await fetch('URL/small', {method: 'POST', body: new URLSearchParams({a: 1})})).text(); "
        "const f = new FormData(); f.set('a', 'b'); await (await fetch('URL/small', {method: 'POST', body: f})).text(); process.exit() })()"]},
    "java": {"version": "java --version", "run": "mv script C.java && java C.java", "commands": [
        "import java.net.*; import java.net.http.*; class C { public static void main(String[] a) throws Exception { var c = HttpClient.newHttpClient(); "
        "var s = HttpResponse.BodyHandlers.ofString(); c.send(HttpRequest.newBuilder(URI.create(\"URL/small\")).build(), s); "
        "c.send(HttpRequest.newBuilder(URI.create(\"URL/small\")).version(HttpClient.Version.HTTP_1_1).POST(HttpRequest.BodyPublishers.ofString(\"a=1\")).build(), s); "
        "var u = (HttpURLConnection) new URL(\"URL/small?x=1\").openConnection(); u.getInputStream().readAllBytes(); "
        "u = (HttpURLConnection) new URL(\"URL/small\").openConnection(); u.setDoOutput(true); u.setChunkedStreamingMode(2); u.getOutputStream().write(\"abc\".getBytes()); u.getInputStream().readAllBytes(); System.exit(0); } }"]},
    "php": {"version": "php --version", "run": "php script", "commands": [
        "<?php file_get_contents('URL/small'); file_get_contents('URL/small', false, stream_context_create(['http' => ['method' => 'POST', 'content' => 'a=1', 'protocol_version' => 1.1, 'header' => 'Connection: close']]));",
        "<?php $f = fopen('URL/small', 'r', false, stream_context_create(['http' => ['method' => 'PUT', 'header' => ['X-A: b', 'Content-Type: text/plain'], 'content' => 'abc']]));"]},
    "ruby": {"version": "ruby --version", "run": "ruby script", "commands": [
        "require 'net/http'\nu = URI('URL/small')\nNet::HTTP.get(u)\nNet::HTTP.post_form(u, 'a' => '1')\nNet::HTTP.start(u.host, u.port) { |h| h.get('/small?x'); r = Net::HTTP::Put.new('/small'); r['Transfer-Encoding'] = 'chunked'; r.body_stream = File.open('upload.txt'); h.request(r) }",
        "require 'excon'\nExcon.get('URL/small')\nExcon.post('URL/small', body: 'a')"]},
    "perl-lwp": {"version": "perl -MLWP -e 'print LWP->VERSION'", "run": "perl script", "commands": [
        "use LWP::UserAgent; my $u = LWP::UserAgent->new(keep_alive => 2); $u->get('URL/small'); $u->post('URL/small', {a => 1}); $u->head('URL/small'); $u->post('URL/small', Content_Type => 'form-data', Content => [f => ['upload.txt']]);"]},
    "perl-http-tiny": {"version": "perl -MHTTP::Tiny -e 'print HTTP::Tiny->VERSION'", "run": "perl script", "commands": [
        "use HTTP::Tiny; my $u = HTTP::Tiny->new; $u->get('URL/small'); $u->post_form('URL/small', {a => 1}); my $n = 0; $u->request('PUT', 'URL/small', {content => sub { $n++ < 2 ? 'ab' : undef }});"]},
    "go": {"version": "go version", "run": "mv script c.go && HOME=$PWD GOFLAGS=-p=1 GO111MODULE=off go run c.go", "commands": [
        "package main\nimport (\"net/http\"; \"strings\"; \"io\"; \"bufio\")\nfunc done(r *http.Response, e error) { if e == nil { io.Copy(io.Discard, r.Body); r.Body.Close() } }\n"
        "func main() { done(http.Get(\"URL/small\")); done(http.Post(\"URL/small\", \"text/plain\", strings.NewReader(\"abc\"))); "
        "done(http.Post(\"URL/small\", \"text/plain\", bufio.NewReader(strings.NewReader(\"abc\")))); done(http.Head(\"URL/small\")) }"]},
    "lua-socket": {"version": "lua5.4 -v", "run": "lua5.4 script", "commands": ["local h = require('socket.http') h.request('URL/small') h.request('URL/small', 'a=1')"]},
    "tcl-http": {"version": "tclsh script", "run": "tclsh script", "commands": ["package require http\nhttp::geturl URL/small\nhttp::geturl URL/small -query a=1"]},
    "erlang-httpc": {"version": "erl -noshell -eval 'io:format(erlang:system_info(otp_release)), halt().'", "commands": [
        "erl -noshell -eval 'inets:start(), httpc:request(\"URL/small\"), httpc:request(post, {\"URL/small\", [], \"text/plain\", \"abc\"}, [], []), halt().'"]},
    "r": {"version": "R --version", "run": "Rscript script", "commands": ["readLines(url('URL/small'))", "download.file('URL/small', 'out', method='libcurl')"]},
    "socat": {"version": "socat -V", "commands": [r"printf '\r\nGET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' | socat -t 2 - TCP:127.0.0.1:PORT"]},
    "haproxy-check": {"version": "haproxy -v", "commands": [
        "printf 'defaults\\n mode http\\n timeout connect 2s\\n timeout client 2s\\n timeout server 2s\\nbackend b\\n option httpchk\\n server s 127.0.0.1:PORT check inter 200\\nfrontend f\\n bind unix@f.sock\\nbackend c\\n option httpchk GET /small\\n http-check send ver HTTP/1.1 hdr Host x\\n server s 127.0.0.1:PORT check inter 200\\n' > h; timeout 6 haproxy -f h"]},
    "haproxy": {"version": "haproxy -v", "commands": [
        "printf 'defaults\\n mode http\\n timeout connect 2s\\n timeout client 2s\\n timeout server 2s\\nfrontend f\\n bind unix@f.sock\\n option forwardfor\\n default_backend b\\nbackend b\\n server s 127.0.0.1:PORT\\n' > h; (timeout 4 haproxy -f h &) ; sleep 1; curl --unix-socket f.sock http://x/small; curl --unix-socket f.sock -d a=1 http://x/small"]},
    "nginx-proxy": {"version": "nginx -v", "commands": [
        "printf 'daemon off; master_process off; pid p; error_log e; events {}\\nhttp { access_log off; proxy_temp_path t; client_body_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t; upstream k { server 127.0.0.1:PORT; keepalive 2; }\\nserver { listen unix:n.sock; location / { proxy_pass http://127.0.0.1:PORT; } location /k/ { proxy_pass http://k/small/; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } } }' > n; "
        "(timeout 4 nginx -e stderr -p $PWD -c n &); sleep 1; curl --unix-socket n.sock http://x/small; curl --unix-socket n.sock http://x/k/a; curl --unix-socket n.sock -d a=1 http://x/k/a"]},
    "apache-proxy": {"version": "apache2 -v", "commands": [
        "printf 'ServerRoot .\\nServerName x\\nPidFile p\\nErrorLog e\\nUser www-data\\nListen 127.0.0.1:18099\\nMutex posixsem\\nLoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\\nLoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so\\nLoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so\\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\\nProxyPass / http://127.0.0.1:PORT/\\n' > a; "
        "(timeout 5 apache2 -X -f $PWD/a -d $PWD &); sleep 2; curl http://127.0.0.1:18099/small; curl -d a=1 http://127.0.0.1:18099/small"]},
    "squid": {"version": "squid --version", "commands": [
        "printf 'http_port 127.0.0.1:18098\\nhttp_access allow all\\naccess_log none\\ncache_log c\\ncoredump_dir .\\npid_filename none\\ncache deny all\\npinger_enable off\\nshutdown_lifetime 0 seconds\\n' > s; chmod 777 .; (timeout 6 squid -N -f $PWD/s &); sleep 3; curl --noproxy '' -x http://127.0.0.1:18098 URL/small; curl --noproxy '' -x http://127.0.0.1:18098 -d a=1 URL/small"]},
    "varnish": {"version": "varnishd -V", "commands": [
        "(timeout 6 varnishd -F -n $PWD/v -a $PWD/v.sock -b 127.0.0.1:PORT &); sleep 3; curl --unix-socket $PWD/v.sock http://x/small; curl --unix-socket $PWD/v.sock -d a=1 http://x/small"]},
}
