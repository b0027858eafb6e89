<?php
// For `php -S HOST:PORT seen.php`: of /p/NAME it says the parameter, cookie or header that NAME stands for, as PHP reads them.
$said = array('url' => $_GET['user'] ?? '', 'cookie' => $_COOKIE['user'] ?? '', 'header' => $_SERVER['HTTP_X_USER'] ?? '');
$name = explode('/', parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH))[2] ?? '';
$value = $said[$name] ?? '';
header('Content-Type: text/plain');
echo is_array($value) ? implode(',', $value) : $value;
