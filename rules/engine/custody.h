/* Custody: tickets of connections that several processes hold.
 *
 * After a fork, and when a descriptor is passed over a socket, a connection ends with its last descriptor, whichever
 * process that is in; until then it holds what its ticket holds.  So the ticket gets a record in the app's shared
 * memory, with a bit for each process that holds the connection, and a count of those that are about to.  The process
 * that has the ticket (its origin) keeps it, and ends it when the record says that the last holder has left: with
 * scope process the limit is kept there.  What the ticket holds for all of the app goes back at once, by who leaves
 * last.
 *
 * A process that is killed leaves by engine_reclaim; if it was the one whose words count what is held, another holder's
 * count it from then on.  Records lie among the states of limiters, as one of a kind of its own; nothing in them is
 * believed.  Lock-free, no system call; any thread, any process of the app. */
#ifndef WEIR_RULES_ENGINE_CUSTODY_H
#define WEIR_RULES_ENGINE_CUSTODY_H

#include <stdbool.h>
#include <stdint.h>

struct counters;
struct engine;
struct engine_ticket;

struct custody_ref {
    uint32_t place; /* 0: none */
    uint32_t serial;
};

/* By what a process that gets a connection finds its records: the client's address and port, and the port that it came
 * to.  `address_length` 0: not known, then it cannot be found. */
struct custody_identity {
    uint8_t address[16];
    uint8_t address_length;
    uint16_t peer_port, port;
};

enum {
    CUSTODY_TABLES = 64, /* of 127 records each */
    CUSTODY_FOUND = 8,   /* records of one connection that are looked for */
};

/* Opens a record of this process's ticket, which it holds; what the ticket holds for the app goes over into the record.
 * `note` is given back by custody_take_ended.  False: no room, or no slot; nothing is changed. */
bool custody_open(struct engine *, struct engine_ticket *, const struct custody_identity *, uint32_t note,
                  struct custody_ref *ret_ref);
/* Another process is about to hold it; and, called by that process: it does. */
void custody_send(struct engine *, struct custody_ref);
void custody_unsend(struct engine *, struct custody_ref, uint64_t now_ns); /* it did not come about */
/* (A process for which there is no slot cannot hold: for it the others' last close is the end.) */
void custody_join(struct engine *, struct custody_ref, uint64_t now_ns);
/* The open records of a connection; how many. */
unsigned custody_find(struct engine *, const struct custody_identity *, struct custody_ref ret_refs[CUSTODY_FOUND]);
/* This process holds it no longer; `over`: it has ended, whatever else still seems to hold it. */
void custody_leave(struct engine *, struct custody_ref, bool over, uint64_t now_ns);
/* A ticket of this process's whose connection has ended, and when: to be ended now.  False: there is none. */
bool custody_take_ended(struct engine *, struct custody_ref *ret_ref, uint32_t *ret_note, uint64_t *ret_ended_ns);

/* The next open record that this process holds, from `*place` (at first 0) on; false: no more. */
bool custody_held(struct engine *, uint32_t *place, struct custody_ref *ret_ref);
/* Was there ever one, in any process of the app? */
bool custody_used(struct engine *);

/* Of engine_reclaim. */
void custody_reclaim(struct counters *, uint32_t slot, uint64_t owner);
/* A process has another slot now, as one has that has replaced its program: it holds what it held.  Returns how many
 * records that are. */
unsigned custody_move(struct counters *, uint32_t from, uint32_t to);

/* Of the agent, every ten seconds or so.  What was sent to a process that does not take it up from one look to the next
 * was sent to one that has no shim, or that was killed before it began: it is not waited for any longer. */
void custody_settle(struct counters *, uint64_t now_ns);

#endif
