<?php // WORK_MS is replaced by a number: of milliseconds of the CPU, by its clock
function used() {
    $usage = getrusage();
    return ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']) * 1000 + ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) / 1000;
}
function compute($ms) {
    $sum = 0;
    for ($end = used() + $ms; used() < $end;)
        for ($number = 0; $number < 5000; $number++) $sum = ($sum * 31 + $number) % 1000003;
    return $sum;
}
$body = compute(WORK_MS) . "\n";
header('Content-Length: ' . strlen($body));
echo $body;
