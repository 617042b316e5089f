/* probe.h - `heloise probe`: climbs the ladder against a live peer and tells what it saw */
#ifndef DELIVER_PROBE_H
#define DELIVER_PROBE_H

#include "common/instance.h"

int probe_command(const struct instance *i, int argc, char **argv);

#endif
