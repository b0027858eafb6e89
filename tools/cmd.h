/* The subcommands of `weir`, one file each (tools/cmd_NAME.c), and what all of them agree on. */
#ifndef WEIR_TOOLS_CMD_H
#define WEIR_TOOLS_CMD_H

enum {
    CMD_DONE = 0,
    CMD_FAILED = 1,    /* it was asked for rightly, and did not work */
    CMD_USAGE = 2,     /* usage error, or invalid rules */
    CMD_NO_AGENT = 69, /* no agent can be reached (EX_UNAVAILABLE) */
};

/* `argv[0]` is the name of the subcommand; returns one of the above, or the exit status of the program it ran.
 * Output goes to stdout unflushed: main() flushes it and reports what could not be written. */
int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_ports(int argc, char **argv);
int cmd_off(int argc, char **argv);
int cmd_on(int argc, char **argv);
int cmd_enable(int argc, char **argv);
int cmd_disable(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

#endif
