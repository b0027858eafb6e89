<?php
// For `php -S HOST:PORT answer.php`: it answers /NAME with the name, and a POST with its body; what it was called with is noted
// where a test wants to know it (REQUEST_LOG).
$method = $_SERVER['REQUEST_METHOD'];
if (getenv('REQUEST_LOG'))
    file_put_contents(getenv('REQUEST_LOG'), "$method {$_SERVER['REQUEST_URI']}\n", FILE_APPEND);
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$body = $method === 'POST' ? file_get_contents('php://input') : substr($path, 1) . "\n";
header('Content-Type: application/octet-stream');
header('Content-Length: ' . strlen($body));
echo $body;
