// An event loop that uses MS milliseconds of CPU for each request: node_work.js HOST PORT MS [WORKERS]
'use strict';
const http = require('http'), cluster = require('cluster');
const [host, port, ms, workers] = process.argv.slice(2);

// By the clock of the CPU, not by a number of rounds: how fast a core is depends on what its neighbour does.
function compute() {
  const before = process.cpuUsage();
  let sum = 0;
  for (;;) {
    for (let number = 0; number < 20000; number++) sum = (sum * 31 + number) % 1000003;
    const used = process.cpuUsage(before);
    if (used.user + used.system >= ms * 1000) return sum;
  }
}

if (workers && cluster.isPrimary) {
  for (let number = 0; number < +workers; number++) cluster.fork();
} else {
  http.createServer((request, response) => {
    const body = compute() + '\n';
    response.writeHead(200, {'Content-Length': body.length});
    response.end(body);
  }).listen({host, port: +port, backlog: 511});
}
