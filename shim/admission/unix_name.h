/* Paths of AF_UNIX listeners by number: words of descriptors and connections have room for no more. */
#ifndef WEIR_SHIM_UNIX_NAME_H
#define WEIR_SHIM_UNIX_NAME_H

#include <stdint.h>

enum { UNIX_NAME_MAX = 64 }; /* bytes with the NUL; a longer one is cut */

/* The number of that path; 0: no memory. */
uint32_t unix_name_note(const char *path);
/* The path of a number that is not 0; an abstract name begins with '@'. */
const char *unix_name_text(uint32_t number);

#endif
