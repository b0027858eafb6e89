/* The command line of weir-agent. */
#ifndef WEIR_AGENT_OPTIONS_H
#define WEIR_AGENT_OPTIONS_H

#include "agent/config.h"

enum options_result {
    OPTIONS_RUN,
    OPTIONS_CHECK,
    OPTIONS_UNINSTALL,
    OPTIONS_DONE /* --help, --version: printed */,
    OPTIONS_WRONG /* said so */
};

/* Reads the command line and the configuration file under it. */
enum options_result options_parse(int argc, char **argv, struct config *, struct rule_errors *);
/* -n: checks the rules that this configuration names, and prints what is wrong with them. */
bool options_check(const struct config *);

#endif
