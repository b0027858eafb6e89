/* The shim's own descriptors that stay for longer than a few calls: out of the way of an application that counts on low
 * numbers. */
#ifndef WEIR_SHIM_HIGH_FD_H
#define WEIR_SHIM_HIGH_FD_H

/* Moves one up, close-on-exec; returns its new number, or the old one where there is no room above. */
int high_fd_move(int fd);

#endif
