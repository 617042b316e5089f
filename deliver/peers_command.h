/* peers_command.h - `heloise peers list | show HOST | forget HOST` */
#ifndef DELIVER_PEERS_COMMAND_H
#define DELIVER_PEERS_COMMAND_H

#include "common/instance.h"

/* argv[0] is "peers". Prints; returns the exit code (verdict.h). */
int peers_command(const struct instance *i, int argc, char **argv);

#endif
