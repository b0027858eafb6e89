#include "shim/libc/syscall_raw.h"

bool raw_restricted;
