/* The shared-memory contract between the agent and the protected processes, and nothing else.
 *
 * Two files per app, both created, sized and pre-allocated by the agent alone:
 *
 *   APP.rules     agent writes, processes map it read-only.  Two copies of the ruleset and a generation.
 *   APP.counters  shared by the agent and all processes of the app.  A file without a name (memfd), sealed against
 *                 shrinking and growing: nothing that a process does to it takes a mapped page from another one.
 *
 * There are no pointers and no locks in here, only offsets, indices and lock-free words; the layout is the same on
 * 32 and 64 bit (tests/layout).  A number that another process could have written is checked before use.
 *
 * Agents and libraries of different versions meet in these files.  Each begins with struct layout_head and a directory
 * of sections (rules/directory.h): a reader finds a section by its id, goes by the file's stride and count, and passes
 * over sections that it does not know.  How versions may grow:
 *
 *   a record gets fields      behind those it had, where 0 means "as before"; its stride may grow, nothing is raised
 *   a section's meaning       another `version` of the section: readers that do not know it are without the section
 *   what older readers would
 *   get wrong                 `min_reader` is raised: those keep the files they have, and are shown as OUTDATED
 *   a rule means more         a bit in struct rule.requires (rule.h)
 *
 * The counters file is sparse: the agent allocates (posix_fallocate) a prefix of a section and then raises
 * layout_rules_header.allocated[section] with release order, in the file that only the agent can write; nothing
 * touches a record beyond it.  So want of memory is an error in the agent, never a SIGBUS in an application.
 */
#ifndef WEIR_RULES_LAYOUT_H
#define WEIR_RULES_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define LAYOUT_VERSION 3    /* of the files that this version writes */
#define LAYOUT_MIN_READER 3 /* the oldest version that can read those */
#define LAYOUT_MIN_WRITER 3 /* the oldest version whose files this one can read; 2 had no directory */
#define LAYOUT_RULES_MAGIC 0x73656c7572726977ull    /* "wirrules" read little-endian */
#define LAYOUT_COUNTERS_MAGIC 0x746e756f63726977ull /* "wircount" */

enum {
    LAYOUT_PAGE = 4096,
    LAYOUT_APP_NAME_MAX = 64,       /* bytes, with the terminating NUL */
    LAYOUT_RESOURCE_NAME_MAX = 216, /* bytes, with the terminating NUL; longer names end in "~" and a hash */
    LAYOUT_ORIGIN_MAX = 40,         /* bytes of an origin kept in metrics, with the NUL */
    LAYOUT_PROCESSES = 256,         /* processes of one app on one host */
    LAYOUT_RESOURCES = 6144,        /* entries; the budget itself (default 6000) is a rule option */
    LAYOUT_RESOURCE_INDEX = 16384,  /* slots of the open-addressed index over the entries; a power of two */
    LAYOUT_STAT_SHARDS = 4,         /* copies of a resource's counters, so that threads do not share cache lines */
    LAYOUT_HISTOGRAM = 32,          /* latency buckets, see resource_stats.rt_histogram */
    LAYOUT_SECONDS = 4,             /* seconds for which extremes (smallest latency, most in flight) are kept */
    LAYOUT_HITS = 2048,             /* slots of the table of rule hits; a power of two */
    LAYOUT_EVENTS = 1024,           /* events kept for the agent; a power of two */
    LAYOUT_REJECTIONS = 1024,       /* rejections kept for the agent; a power of two */
    LAYOUT_REJECTION_VALUE = 46,    /* bytes kept of a value */
    LAYOUT_HOT = 1024,              /* tables of hot keys that are shown at a time; a power of two */
    LAYOUT_HOT_VALUES = 12,         /* values shown of each */
    LAYOUT_HOT_TEXT = 20,           /* bytes shown of a value */
    LAYOUT_SIBLINGS = 16384,        /* nodes of the tree of learned paths (naming/siblings.c); a power of two */
    LAYOUT_CELL_INDEX =
        65536, /* slots of the index over the limiter cells of scope app, in two halves; a power of two */
    LAYOUT_CELL_CLASSES = 96, /* sizes of freed cells, four an octave */
    LAYOUT_CELL_UNIT = 64,    /* bytes; cells are a multiple of it and aligned to it */
};
#define LAYOUT_RULES_COPY_MAX (32u << 20)  /* bytes, largest ruleset */
#define LAYOUT_CELL_BYTES_MAX (128u << 20) /* bytes, largest arena of limiter cells of scope app */

/* ------------------------------------------------------------------------------------------------- directory */

enum layout_section_id { /* never given to anything else; also the index of layout_rules_header.allocated */
                         LAYOUT_NOTHING,
                         /* of APP.rules */
                         LAYOUT_COPIES, /* two of the ruleset */
                         /* of APP.counters */
                         LAYOUT_PROCESS_TABLE,  /* struct layout_process */
                         LAYOUT_NAME_INDEX,     /* uint32_t: entry + 1 of struct layout_resource; 0 = free */
                         LAYOUT_LIMITER_INDEX,  /* uint32_t: of limiter cells (engine/state.h) */
                         LAYOUT_HIT_TABLE,      /* struct layout_hit */
                         LAYOUT_EVENT_RING,     /* struct layout_event */
                         LAYOUT_REJECTION_RING, /* struct layout_rejection */
                         LAYOUT_SIBLING_TABLE,  /* uint64_t: nodes of the tree of learned paths */
                         LAYOUT_NAMES,          /* struct layout_resource */
                         LAYOUT_STATISTICS,     /* struct layout_stats, [entry] */
                         LAYOUT_AREAS,          /* struct layout_area, [slot] */
                         LAYOUT_HOT_TABLE,      /* struct layout_hot */
                         LAYOUT_LIMITERS,       /* cells, in units of LAYOUT_CELL_UNIT */
                         LAYOUT_SECTIONS,       /* ids that this version knows */
};
enum { LAYOUT_SECTIONS_MAX = 64 }; /* entries of a directory, and ids */

struct layout_section {
    uint16_t id; /* enum layout_section_id */
    uint16_t version;
    uint32_t stride; /* bytes from one record to the next, a multiple of 4 */
    uint32_t count;  /* records that there is room for, at most */
    uint32_t reserved;
    uint64_t offset; /* bytes from the start of the file to the first record, a multiple of LAYOUT_PAGE */
};
_Static_assert(sizeof(struct layout_section) == 24, "layout_section");

struct layout_head { /* both files begin with it */
    uint64_t magic;
    uint32_t version;        /* LAYOUT_VERSION of who made the file */
    uint32_t header_size;    /* bytes; what is behind the fields of the writer's version is 0 */
    uint32_t min_reader;     /* readers of older versions cannot use the file */
    uint32_t sections_at;    /* bytes from the start of the file; the whole directory is in the first page */
    uint32_t sections_count; /* entries, at most LAYOUT_SECTIONS_MAX */
    uint32_t section_stride; /* bytes from one entry to the next */
};
_Static_assert(sizeof(struct layout_head) == 32, "layout_head");

/* ------------------------------------------------------------------------------------------------ APP.rules */

struct layout_copy {
    uint64_t generation; /* the generation this copy holds; 0 = nothing */
    uint64_t offset;     /* bytes from the start of the file */
    uint64_t length;     /* bytes */
    uint64_t checksum;   /* hash_bytes() of the ruleset, keyed by its generation */
};

/* Publishing generation G: write the bytes of copy G&1, then its struct, then `generation` = G (release).
 * Reading: G = generation (acquire); copy the bytes of copy G&1 to private memory; check length and checksum there;
 * accept only if the private bytes hash to the checksum.  An overtaken or torn read fails the checksum: the reader
 * keeps the rules it had and tries again later.  The agent killed while writing spoils only the copy that is not being
 * read. */
struct layout_rules_header { /* the first page of APP.rules */
    struct layout_head head;
    uint64_t generation;  /* atomic; 0 = no rules published yet */
    uint32_t off;         /* atomic; 1 = kill switch: every process passes everything (`weir off`) */
    uint32_t retired;     /* atomic; 1 = this file is superseded (it was removed and created again): attach again */
    uint64_t agent_alive; /* atomic; CLOCK_MONOTONIC ns of the agent's last heartbeat, about once a second */
    uint64_t
        sequence; /* atomic; raised whenever generation, off or retired change: one load shows that nothing is new */
    struct layout_copy copy[2];
    char app[LAYOUT_APP_NAME_MAX]; /* whose file this is */
    uint64_t cpu;                  /* atomic; a double: use of the host's CPU, 0…1, < 0 unknown */
    uint64_t load1;                /* atomic; a double: the host's load average of the last minute, < 0 unknown */
    /* [section of APP.counters]; atomic: its records from the first on that may be used.  It stands here because here
     * no process can write. */
    uint32_t allocated[LAYOUT_SECTIONS_MAX];
    struct layout_section sections[1];
    uint64_t pass[2]; /* random: a process that shows it (attach.h) has, or its parent had, this file from the agent */
    uint64_t app_cpu; /* atomic; a double: what the app uses of the CPU that it could use, 1 (none) … 2 (all); else: not
                         known */
    /* [slot] of the process table: the process that took it last and said so itself, as the kernel reported it to the
     * agent, and its start time from /proc; 0 = none.  What stands in the table itself any process of the app may have
     * written. */
    uint64_t vouched_start[LAYOUT_PROCESSES];
    uint32_t vouched_pid[LAYOUT_PROCESSES];
    uint64_t wall_ns; /* atomic; CLOCK_REALTIME - CLOCK_MONOTONIC as the agent has them, for times of day; changes when
                         the time is set, or the host was suspended; 0 = not known */
    uint64_t loads;   /* atomic; how often cpu, load1 and app_cpu were written; 0: by an agent that does not count */
    uint64_t cpus_used; /* atomic; a double, 0…1: the share of the time of the CPUs that the app may use that was used,
                           by all programs; 0: none, or not known */
    uint8_t reserved[LAYOUT_PAGE - 536 - 12 * LAYOUT_PROCESSES];
};
_Static_assert(sizeof(struct layout_rules_header) == LAYOUT_PAGE, "layout_rules_header");

/* --------------------------------------------------------------------------------------------- APP.counters */

/* One process of the app.  A process takes a free slot itself by compare-and-swap of `owner` from 0 (so that a forked
 * child need ask no other process); the agent, notified over the socket, fills the rest and watches the process by
 * pidfd. */
struct layout_process {
    uint64_t owner;            /* atomic; 0 = free, else incarnation<<32 | pid as the process itself sees it */
    uint64_t rules_generation; /* atomic; the generation in force in the process */
    uint64_t attached_ns;      /* engine clock */
    uint64_t seen_ns;          /* atomic; engine clock of the last request, about every 100 ms under traffic */
    uint64_t host_start;       /* agent: start time from /proc/PID/stat, against pid reuse */
    uint32_t host_pid;         /* agent: pid as the agent sees it; 0 = not yet known */
    uint32_t pid_namespace;    /* inode of the pid namespace of `owner`'s pid, as the process knows it; 0 = unknown */
    uint32_t undecided;        /* atomic; requests that passed without a decision (fail open) */
    uint32_t refused_rulesets; /* atomic; rulesets that failed validation */
    uint64_t
        cells_generation; /* atomic; no thread uses older rules, and the cells of these are stamped (engine/state.h) */
    uint64_t features;    /* atomic; what its library can do, RULE_FEATURES of rule.h: rules that require more are out
                             of force in it */
    uint32_t left_out;    /* atomic; how many of the rules in force elsewhere are so */
    uint32_t layout;      /* LAYOUT_VERSION of its library */
    uint32_t trouble;     /* atomic; enum layout_trouble: why no rules are in force in it */
    uint32_t acted_early; /* atomic; responses to a request that was not complete, or whose turn had not come: the
                             application answers whatever one read brings */
    uint32_t malformed;   /* atomic; requests refused (400) since two servers could differ about what they say */
    /* [time / 100 ms % 8] atomic; the thread, as it calls itself, that was serving then; 0: none was noted. */
    uint32_t served_by[8];
    uint8_t reserved[4];
};
_Static_assert(sizeof(struct layout_process) == 128, "layout_process");

struct layout_resource {
    uint64_t hash;   /* hash_bytes() of the name; written before the index points here */
    uint32_t length; /* bytes of name, without the NUL */
    uint8_t side;    /* enum side of its first request */
    uint8_t shares;  /* atomic; 1: there was no room for a limiter of its own, it shares one */
    uint8_t reserved[26];
    char name[LAYOUT_RESOURCE_NAME_MAX];
};
_Static_assert(sizeof(struct layout_resource) == 256, "layout_resource");

enum layout_trouble {
    LAYOUT_TROUBLE_NONE,
    LAYOUT_TROUBLE_MEMORY, /* it got no memory for the rules: RLIMIT_AS, or the host has none */
};

/* Counters only grow; a reader subtracts.  All words atomic, relaxed. */
struct layout_stat_shard {
    uint64_t pass, block, success, exception; /* requests */
    uint64_t simulated;                       /* requests that a rule in mode simulate would have rejected */
    uint64_t queued;                          /* requests that had to wait before they passed */
    uint64_t rt_ns;                           /* sum over completed requests */
    uint64_t queue_ns;                        /* sum over waits */
};
_Static_assert(sizeof(struct layout_stat_shard) == 64, "layout_stat_shard");

struct layout_second { /* extremes of one second; a writer that meets another second starts it again */
    uint32_t second;   /* engine clock / 1e9, truncated to 32 bit */
    uint32_t rt_min_us, rt_max_us;
    uint32_t in_flight_max; /* of one process */
};

/* What became of a connection that came to a listener. */
enum layout_fate {
    FATE_JUDGED,       /* its requests are decided upon; counted with the first */
    FATE_EMPTY,        /* it ended before there was a request */
    FATE_UNREAD,       /* it ended, and no call that reads from it was seen */
    FATE_OPAQUE,       /* nothing is recognised on it any more; + enum opaque_reason of shim/session/stream.h - 1 */
    FATE_REFUSED = 13, /* rules about requests could not have been kept on it: HTTP/2, or none of HTTP */
    LAYOUT_FATES
};

struct layout_stats {
    struct layout_stat_shard shard[LAYOUT_STAT_SHARDS];
    struct layout_second extremes[LAYOUT_SECONDS]; /* [second % LAYOUT_SECONDS] */
    /* Completed requests by latency: bucket 0 is < 64 us, bucket i is < 64 us * 2^(i/2) rounded (two buckets an octave,
     * see histogram.h), the last one everything above. */
    uint32_t rt_histogram[LAYOUT_HISTOGRAM];
    uint32_t circuit; /* worst state of its circuits as last written: 0 none, 1 closed, 2 half-open, 3 open */
    uint32_t gone;    /* requests whose client left first: neither success nor exception, and no latency */
    uint32_t fate[LAYOUT_FATES]; /* atomic; of a listener ("tcp::PORT", "http::PORT"): connections, by enum layout_fate;
                                    one that becomes opaque after requests were judged counts twice */
};
_Static_assert(sizeof(struct layout_stats) == 512, "layout_stats");

/* What one rule did to one resource and origin: the source of the block log and of weir_blocked_total. */
struct layout_hit {
    uint64_t key;     /* atomic; 0 = free, else hash of (rule, resource, origin) */
    uint64_t rule;    /* struct rule.id_hash */
    uint64_t blocked; /* atomic counters */
    uint64_t simulated;
    uint32_t resource; /* index of the resource entry */
    uint8_t reason;    /* enum reason */
    uint8_t ready;     /* atomic; 1 once the fields above and below are in place */
    uint8_t reserved[10];
    char rule_id[40]; /* NUL-terminated, cut */
    char origin[LAYOUT_ORIGIN_MAX];
};
_Static_assert(sizeof(struct layout_hit) == 128, "layout_hit");

/* What an event of overload protection says of the episode; < 0 (or no number): not known. */
struct layout_episode {
    double cpu;            /* what the app used of the CPU that it could use, 0…1 */
    double delay_ms;       /* how long requests waited to be read, or in the application beyond its best */
    double goodput_before; /* admitted requests a second, before the episode … */
    double goodput;        /* … and in it */
    double lasted_s;       /* since it began */
};

/* State changes for the agent.  A writer takes a number n (fetch_add of event_next), writes slot n % LAYOUT_EVENTS,
 * then `sequence` = n + 1 (release).  A reader that finds another sequence than it expects skips or has lost some. */
struct layout_event {
    uint64_t sequence; /* atomic */
    uint64_t time_ns;  /* engine clock */
    uint64_t rule;     /* id_hash, or 0 */
    uint32_t resource;
    uint32_t pid;
    uint8_t kind; /* enum event_kind in engine/engine.h */
    uint8_t from, to;
    uint8_t simulated; /* with figures_of: 1: the rule simulates, nothing is rejected */
    /* The low bits of sequence, by a library that writes `simulated` and `episode`: in a record of one that does not
     * these are an earlier event's. */
    uint32_t figures_of;
    double value; /* of EVENT_ADAPTIVE: the share of requests that is rejected, 0…1 */
    char rule_id[40];
    struct layout_episode episode;
};
_Static_assert(sizeof(struct layout_event) == 128, "layout_event");

/* Rejections whose id was sent to a client (`weir why`), written and read as events are, with rejection_next. */
struct layout_rejection {
    uint64_t sequence;   /* atomic */
    uint64_t time_ns;    /* engine clock */
    uint64_t rule;       /* id_hash, or 0 */
    uint64_t generation; /* of the rules that it was decided by */
    double limit, remaining;
    uint64_t interval_ns, retry_ns;
    uint32_t resource;
    uint32_t pid;
    uint32_t more;          /* atomic; later ones, of the same rule and resource, that got the same id */
    uint8_t reason;         /* enum reason */
    uint8_t address_length; /* 4, 16, or 0 */
    uint8_t side;           /* enum rule_side */
    uint8_t limit_of;       /* enum limit_of: what limit and counted are about */
    uint8_t address[16];    /* the caller's */
    char rule_id[40];       /* NUL-terminated, cut, as are the next */
    char origin[LAYOUT_ORIGIN_MAX];
    char trace[40]; /* the request's trace id, if it had one */
    double counted; /* against the limit, at that moment; < 0 = unknown, and 0 without limit_of */
    /* From here on in files of later versions only.  The hot key that was over its limit, or the entry of a list;
     * secrets are cut. */
    char value[LAYOUT_REJECTION_VALUE];
    uint8_t value_length; /* bytes; 0 = there is none */
    uint8_t value_cut;    /* 1: it was longer */
    /* The low bits of the rejection's number, by a library that writes limit_of, counted and value: in a record of one
     * that does not these are an earlier rejection's. */
    uint32_t details_of;
    uint32_t unused;
};
enum { LAYOUT_REJECTION_LEAST = 224 }; /* bytes, of the first version */
_Static_assert(sizeof(struct layout_rejection) == 280 &&
                   offsetof(struct layout_rejection, value) == LAYOUT_REJECTION_LEAST,
               "layout_rejection");

/* The most frequent values that a hot parameter rule saw on a resource, written about once a second by who counts them:
 * the process itself, or with scope app any process.  A writer makes `sequence` odd, writes, and makes it even again;
 * one that died in between is overtaken after a while.  Entries that have not been written for long may be reassigned.
 */
enum {
    LAYOUT_HOT_CUT = 0x80, /* of layout_hot_value.length: the value was longer */
    LAYOUT_HOT_ADDRESS =
        0x40, /* of layout_hot_value.type: text is an IPv6 address, as bytes, and the bits of its network */
};
struct layout_hot_value {
    char text[LAYOUT_HOT_TEXT];
    uint16_t mark; /* of the whole value, distinguishes values with the same beginning */
    uint8_t type;  /* enum value_type */
    uint8_t length;
    uint32_t seen, blocked; /* requests in about span_ns, older ones counting for less */
    uint32_t in_flight;
};
_Static_assert(sizeof(struct layout_hot_value) == 36, "layout_hot_value");

struct layout_hot {
    uint64_t key;        /* atomic; 0 = free */
    uint32_t sequence;   /* atomic */
    uint32_t slot;       /* process that alone counts so; UINT32_MAX: all of the app together */
    uint64_t rule;       /* struct rule.id_hash */
    uint64_t written_ns; /* atomic; engine clock */
    uint64_t span_ns;
    uint32_t resource;
    uint32_t count;
    struct layout_hot_value values[LAYOUT_HOT_VALUES]; /* most frequent first */
    uint8_t reserved[32];
};
_Static_assert(sizeof(struct layout_hot) == 512, "layout_hot");

/* What belongs to one process and is read by the agent: index = slot. */
struct layout_area {
    uint32_t in_flight[LAYOUT_RESOURCES]; /* atomic */
};
_Static_assert(sizeof(struct layout_area) == 6 * LAYOUT_PAGE, "layout_area");

struct layout_cell_roots {              /* of one space of limiter cells (engine/state.h); all words atomic */
    uint32_t epoch;                     /* its lowest bit says which half of the index is in use */
    uint32_t collector;                 /* slot + 1 of the process that is collecting; 0 = none */
    uint32_t indexed;                   /* slots used in the half in use */
    uint32_t freed;                     /* units in freed cells, about */
    uint64_t free[LAYOUT_CELL_CLASSES]; /* change count << 32 | first free cell, in units + 1 */
};
_Static_assert(sizeof(struct layout_cell_roots) == 784, "layout_cell_roots");

struct layout_counters_header { /* the first page of APP.counters */
    struct layout_head head;
    uint64_t clock_offset_ns;   /* engine clock = CLOCK_MONOTONIC + this; fixed for the life of the file, so that all
                                   processes agree and nothing jumps when the wall clock is set */
    uint64_t hash_seed;         /* random; keys every hash of names and values that a client can choose */
    uint32_t resources_used;    /* atomic; next entry; entry 0 is "{other}", made by the agent */
    uint32_t cell_bytes_used;   /* atomic; bump pointer, multiple of LAYOUT_CELL_UNIT */
    uint32_t hits_lost;         /* atomic; hits not counted because the table was full */
    uint32_t slots_refused;     /* atomic; looks for a free slot that found none: such a process counts on its own */
    uint64_t event_next;        /* atomic */
    uint64_t rejection_next;    /* atomic */
    uint32_t cells_refused;     /* atomic; decisions without room even for a shared limiter: by a rough one */
    uint32_t resources_refused; /* atomic; names that went to {other} */
    char app[LAYOUT_APP_NAME_MAX];
    uint64_t boot; /* hash of the kernel's boot id: the engine clock does not survive a reboot, nor does this file */
    struct layout_cell_roots cells;
    struct layout_section sections[LAYOUT_SECTIONS - LAYOUT_PROCESS_TABLE];
    uint32_t resources_sharing; /* atomic; resources for which there was no room: they share limiters */
    uint8_t reserved[LAYOUT_PAGE - 164 - sizeof(struct layout_cell_roots) -
                     (LAYOUT_SECTIONS - LAYOUT_PROCESS_TABLE) * sizeof(struct layout_section)];
};
_Static_assert(sizeof(struct layout_counters_header) == LAYOUT_PAGE, "layout_counters_header");

#define LAYOUT_ALIGN(n) (((n) + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE)

#endif
