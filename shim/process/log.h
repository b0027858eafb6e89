/* The shim's own log, for those who look for a fault: lines in $WEIR_RUN_DIR/shim.log, only if WEIR_LOG asks for them
 * (error, info, debug; default off) and the file can be opened or made there.  Nothing is kept open, nothing allocated,
 * and no descriptor of the application is ever written to. */
#ifndef WEIR_SHIM_LOG_H
#define WEIR_SHIM_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_OFF, LOG_LEVEL_ERROR, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_start(void); /* from the constructor: reads the environment, once */
/* One line: time, pid, text, number.  Keeps errno.  Async-signal-safe. */
void log_line(enum log_level level, const char *text, int64_t number);

#endif
