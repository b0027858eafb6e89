// node's http, alone or as a cluster: node_server.js FOLDER HOST PORT [WORKERS]
'use strict';
const http = require('http'), cluster = require('cluster'), fs = require('fs'), path = require('path');
const [folder, host, port, workers] = process.argv.slice(2);

// What this server takes for a request is noted where a test wants to know it.
function note(request) {
  if (process.env.REQUEST_LOG) fs.appendFileSync(process.env.REQUEST_LOG, request.method + ' ' + request.url + '\n');
}

function answer(request, response) {
  note(request);
  const url = new URL(request.url, 'http://x');
  if (url.pathname === '/chunked') {
    for (let number = 0; number < 7; number++) response.write(Buffer.alloc(9000, 65 + number));
    return response.end();
  }
  if (url.pathname === '/events') {
    response.writeHead(200, {'Content-Type': 'text/event-stream'});
    response.write('data: a\n\n');
    return setTimeout(() => response.end('data: z\n\n'), +url.searchParams.get('ms'));
  }
  if (url.pathname === '/drop') return request.socket.destroy();
  const send = (status, body) => {
    response.writeHead(status, {'Content-Length': body.length});
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  if (request.method === 'POST') {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    return request.on('end', () => send(200, Buffer.concat(parts)));
  }
  if (url.pathname === '/slow') return setTimeout(() => send(200, Buffer.from('slow\n')), +url.searchParams.get('ms'));
  if (url.pathname === '/held') {
    const release = path.join(folder, 'release.' + url.search.slice(1));
    const look = () => (fs.existsSync(release) ? send(200, Buffer.from('held\n')) : setTimeout(look, 10));
    return look();
  }
  if (url.pathname === '/error') return send(500, Buffer.from('error\n'));
  fs.readFile(path.join(folder, path.basename(url.pathname)), (error, body) => {
    send(error ? 404 : 200, error ? Buffer.from('nothing\n') : body);
  });
}

if (workers && cluster.isPrimary) {
  cluster.on('exit', () => cluster.fork());
  cluster.on('fork', worker => worker.on('error', () => {})); // one that was killed cannot be written to
  for (let number = 0; number < +workers; number++) cluster.fork();
} else {
  const server = http.createServer({keepAliveTimeout: 30000}, answer);
  server.on('upgrade', (request, socket, head) => {
    note(request);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
    socket.on('error', () => {});
    if (head.length) socket.write(head);
    socket.pipe(socket);
  });
  process.once('SIGUSR2', () => server.close());
  server.listen({host, port: +port, backlog: 256});
}
