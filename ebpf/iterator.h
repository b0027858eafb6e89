/* Reads what a BPF iterator has to say. */
#ifndef WEIR_EBPF_ITERATOR_H
#define WEIR_EBPF_ITERATOR_H

#include <stddef.h>

/* One whole pass of the iterator behind `link_fd`; malloc'ed.  0 or -errno. */
int iterator_read(int link_fd, char **ret_bytes, size_t *ret_size);

#endif
