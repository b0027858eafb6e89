// Answers each request after so many milliseconds of computing: node burn.js HOST PORT [WORKERS]; GET /?ms=5
const [host, port, workers] = process.argv.slice(2);
const cluster = require('cluster');
const http = require('http');

function used() {
    const {user, system} = process.cpuUsage();
    return user + system;
}

function compute(ms) {
    const end = used() + 1000 * ms;
    while (used() < end);
}

if (workers && cluster.isPrimary) {
    for (let i = 0; i < Number(workers); i++) cluster.fork();
} else {
    http.createServer((request, response) => {
        compute(Number(new URL(request.url, 'http://host').searchParams.get('ms') || 0));
        response.end('done\n');
    }).listen(Number(port), host);
}
