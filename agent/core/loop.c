#include "agent/core/loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { STEP_EVENTS = 128 }; /* handled in one step, so that the caller gets a turn however busy we are */

uint64_t loop_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t loop_wall_ahead_ns(void) {
    enum { CLOSE_NS = 5000000, TRIES = 20 }; /* another program may run between two looks at a clock */
    uint64_t before_ns, after_ns = loop_now_ns();
    struct timespec wall;
    for (int i = 0; i < TRIES; i++) {
        before_ns = after_ns;
        clock_gettime(CLOCK_REALTIME, &wall);
        after_ns = loop_now_ns();
        if (after_ns - before_ns < CLOSE_NS)
            break;
    }
    return (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec - after_ns;
}

int loop_open(struct loop *loop) {
    *loop = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC), .timer_fd = -1};
    if (loop->epoll < 0)
        return -errno;
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN}; /* data.ptr NULL: the timers */
    if (loop->timer_fd < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->timer_fd, &event) < 0) {
        int error = -errno;
        loop_close(loop);
        return error;
    }
    return 0;
}

void loop_close(struct loop *loop) {
    if (loop->timer_fd >= 0)
        close(loop->timer_fd);
    if (loop->epoll >= 0)
        close(loop->epoll);
    loop->epoll = loop->timer_fd = -1;
}

int loop_watch(struct loop *loop, struct loop_source *source, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    source->fd = fd;
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    int error = -errno;
    source->fd = -1;
    return error;
}

int loop_change(struct loop *loop, struct loop_source *source, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event) < 0 ? -errno : 0;
}

void loop_forget(struct loop *loop, struct loop_source *source) {
    if (source->fd < 0)
        return;
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
    close(source->fd);
    source->fd = -1;
}

void loop_timer_add(struct loop *loop, struct loop_timer *timer, void (*fire)(struct loop_timer *)) {
    *timer = (struct loop_timer){.fire = fire, .next = loop->timers};
    loop->timers = timer;
}

void loop_timer_remove(struct loop *loop, struct loop_timer *timer) {
    struct loop_timer **place = &loop->timers;
    while (*place && *place != timer)
        place = &(*place)->next;
    if (*place)
        *place = timer->next;
}

void loop_timer_set(struct loop_timer *timer, uint64_t due_ns) {
    timer->due_ns = due_ns ? due_ns : 1;
}

void loop_timer_by(struct loop_timer *timer, uint64_t due_ns) {
    if (timer->due_ns == 0 || due_ns < timer->due_ns)
        loop_timer_set(timer, due_ns);
}

/* The timerfd makes the epoll descriptor readable when a timer is due, so that a caller may wait for that alone. */
static void arm(struct loop *loop) {
    uint64_t first = UINT64_MAX;
    for (struct loop_timer *t = loop->timers; t; t = t->next)
        if (t->due_ns && t->due_ns < first)
            first = t->due_ns;
    if (first == loop->armed_ns)
        return;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(first / 1000000000u), .tv_nsec = (long)(first % 1000000000u)}};
    if (first == UINT64_MAX)
        when = (struct itimerspec){0};
    if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0)
        loop->armed_ns = first;
}

static void fire_due(struct loop *loop) {
    uint64_t now_ns = loop_now_ns();
    for (struct loop_timer *t = loop->timers; t; t = t->next)
        if (t->due_ns && t->due_ns <= now_ns) {
            t->due_ns = 0;
            t->fire(t);
        }
}

int loop_step(struct loop *loop, int timeout_ms) {
    arm(loop);
    for (int done = 0; done < STEP_EVENTS; done++) {
        /* One event at a time: what one function does may free the source of another event. */
        struct epoll_event event;
        int got = epoll_wait(loop->epoll, &event, 1, done == 0 ? timeout_ms : 0);
        if (got < 0)
            return errno == EINTR ? 0 : -errno;
        if (got == 0)
            break;
        struct loop_source *source = event.data.ptr;
        if (source) {
            source->ready(source, event.events);
        } else {
            uint64_t expirations;
            if (read(loop->timer_fd, &expirations, sizeof expirations) > 0)
                loop->armed_ns = 0;
            fire_due(loop);
            arm(loop);
        }
    }
    arm(loop);
    return 0;
}
