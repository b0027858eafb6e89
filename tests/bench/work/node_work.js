// An event loop that computes MS milliseconds for each request: node_work.js HOST PORT MS [WORKERS]
'use strict';
const http = require('http'), cluster = require('cluster');
const [host, port, ms, workers] = process.argv.slice(2);

function compute(rounds) {
  let sum = 0;
  for (let number = 0; number < rounds; number++) sum = (sum * 31 + number) % 1000003;
  return sum;
}

// Rounds that take so long; the first ones let the compiler settle.
function calibrated() {
  const rounds = 200000;
  let best = Infinity;
  for (let turn = 0; turn < 60; turn++) {
    const before = process.cpuUsage();
    compute(rounds);
    const used = process.cpuUsage(before);
    best = Math.min(best, used.user + used.system);
  }
  return Math.round(rounds * ms * 1000 / best);
}

if (workers && cluster.isPrimary) {
  for (let number = 0; number < +workers; number++) cluster.fork();
} else {
  const rounds = calibrated();
  http.createServer((request, response) => {
    const body = compute(rounds) + '\n';
    response.writeHead(200, {'Content-Length': body.length});
    response.end(body);
  }).listen({host, port: +port, backlog: 511});
}
