/* One epoll loop: descriptors with a function each, and timers. */
#ifndef WEIR_AGENT_LOOP_H
#define WEIR_AGENT_LOOP_H

#include <stdint.h>

struct loop_source { /* member of what it belongs to; see LOOP_OWNER */
    int fd;          /* -1: not watched */
    void (*ready)(struct loop_source *, uint32_t events);
};

struct loop_timer {
    uint64_t due_ns;                   /* CLOCK_MONOTONIC; 0 = not set */
    void (*fire)(struct loop_timer *); /* the timer is no longer set when this is called */
    struct loop_timer *next;
};

struct loop {
    int epoll;
    int timer_fd;
    uint64_t armed_ns; /* what timer_fd is set to */
    struct loop_timer *timers;
};

/* The structure whose `member` is at `pointer`. */
#define LOOP_OWNER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

int loop_open(struct loop *); /* 0 or -errno */
void loop_close(struct loop *);
uint64_t loop_now_ns(void);        /* CLOCK_MONOTONIC */
uint64_t loop_wall_ahead_ns(void); /* CLOCK_REALTIME - CLOCK_MONOTONIC, give or take some milliseconds */

int loop_watch(struct loop *, struct loop_source *, int fd, uint32_t events); /* 0 or -errno */
int loop_change(struct loop *, struct loop_source *, uint32_t events);
void loop_forget(struct loop *, struct loop_source *); /* stops watching and closes the descriptor */

void loop_timer_add(struct loop *, struct loop_timer *, void (*fire)(struct loop_timer *)); /* not set yet */
void loop_timer_remove(struct loop *, struct loop_timer *); /* not from inside of its own function */
void loop_timer_set(struct loop_timer *, uint64_t due_ns);
/* As loop_timer_set, unless it is set to fire earlier. */
void loop_timer_by(struct loop_timer *, uint64_t due_ns);

/* Waits up to `timeout_ms` (-1: until something happens), then does what there is to do.  0, or -errno. */
int loop_step(struct loop *, int timeout_ms);

#endif
