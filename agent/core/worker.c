#include "agent/core/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { CLOSE_S = 2 /* so long a piece of work may still take when the worker is closed */ };

struct list { /* first in, first out */
    struct work *first, **end;
};

struct worker_state {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    pthread_t thread;
    struct list queue, finished;
    int event;
    bool started, stop;
    bool left;  /* by the loop: the thread frees this when it ends */
    bool ended; /* the thread's last word, if it was not left */
};

static void append(struct list *list, struct work *work) {
    work->next = NULL;
    *list->end = work;
    list->end = &work->next;
}

static struct work *take_all(struct list *list) {
    struct work *first = list->first;
    list->first = NULL;
    list->end = &list->first;
    return first;
}

static struct work *take_one(struct list *list) {
    struct work *work = list->first;
    list->first = work->next;
    if (!list->first)
        list->end = &list->first;
    return work;
}

static void drop_all(struct work *work) {
    for (struct work *next; work; work = next) {
        next = work->next;
        work->drop(work);
    }
}

static void state_free(struct worker_state *s) {
    drop_all(take_all(&s->queue));
    drop_all(take_all(&s->finished));
    close(s->event);
    pthread_cond_destroy(&s->more);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static void notify(const struct worker_state *s) {
    const uint64_t one = 1;
    (void)!write(s->event, &one, sizeof one); /* it fails where it has been notified very often already */
}

static void *serve(void *context) {
    struct worker_state *s = context;
    pthread_mutex_lock(&s->mutex);
    while (!s->stop) {
        if (!s->queue.first) {
            pthread_cond_wait(&s->more, &s->mutex);
            continue;
        }
        struct work *work = take_one(&s->queue);
        pthread_mutex_unlock(&s->mutex);
        work->run(work);
        pthread_mutex_lock(&s->mutex);
        append(&s->finished, work);
        notify(s);
    }
    bool last = s->left;
    s->ended = !last;
    pthread_mutex_unlock(&s->mutex);
    if (last)
        state_free(s);
    return NULL;
}

/* Signals are the loop's. */
static bool start(struct worker_state *s) {
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    s->started = pthread_create(&s->thread, NULL, serve, s) == 0;
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return s->started;
}

static void finished(struct loop_source *source, uint32_t events) {
    struct worker *worker = LOOP_OWNER(source, struct worker, source);
    struct worker_state *s = worker->state;
    uint64_t count;
    (void)events;
    pthread_mutex_lock(&s->mutex);
    (void)!read(s->event, &count, sizeof count);
    struct work *work = take_all(&s->finished);
    pthread_mutex_unlock(&s->mutex);
    for (struct work *next; work; work = next) {
        next = work->next;
        work->done(work);
        work->drop(work);
    }
}

int worker_open(struct worker *worker, struct loop *loop) {
    struct worker_state *s = calloc(1, sizeof *s);
    *worker = (struct worker){.loop = loop, .source = {.fd = -1, .ready = finished}};
    if (!s)
        return -ENOMEM;
    s->queue.end = &s->queue.first;
    s->finished.end = &s->finished.first;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->more, NULL);
    s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int watched = s->event < 0 ? -1 : fcntl(s->event, F_DUPFD_CLOEXEC, 0); /* the thread's may outlive the loop's */
    int error = watched < 0 ? -errno : loop_watch(loop, &worker->source, watched, EPOLLIN);
    if (error) {
        if (watched >= 0)
            close(watched);
        state_free(s);
        return error;
    }
    worker->state = s;
    return 0;
}

void worker_ask(struct worker *worker, struct work *work) {
    struct worker_state *s = worker->state;
    bool alone = !s->started && !start(s);
    if (alone)
        work->run(work);
    pthread_mutex_lock(&s->mutex);
    append(alone ? &s->finished : &s->queue, work);
    if (alone)
        notify(s);
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->mutex);
}

static bool join(struct worker_state *s) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_S;
    if (pthread_timedjoin_np(s->thread, NULL, &until) == 0)
        return true;
    pthread_mutex_lock(&s->mutex);
    bool ended = s->ended; /* just now */
    s->left = !ended;
    if (!ended)
        pthread_detach(s->thread);
    pthread_mutex_unlock(&s->mutex);
    return ended && pthread_join(s->thread, NULL) == 0;
}

bool worker_pause(struct worker *worker) {
    struct worker_state *s = worker->state;
    if (!s || !s->started)
        return true;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_S;
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->mutex);
    bool ended = pthread_timedjoin_np(s->thread, NULL, &until) == 0;
    pthread_mutex_lock(&s->mutex);
    s->started = !ended;
    s->stop = s->ended = false;
    pthread_mutex_unlock(&s->mutex);
    return ended;
}

bool worker_close(struct worker *worker) {
    struct worker_state *s = worker->state;
    if (!s)
        return true;
    loop_forget(worker->loop, &worker->source);
    worker->state = NULL;
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    struct work *waiting = take_all(&s->queue);
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->mutex);
    drop_all(waiting);
    if (s->started && !join(s))
        return false;
    state_free(s);
    return true;
}
