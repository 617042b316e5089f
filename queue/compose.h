/* compose.h - a report from what stands in a queue file, given to the intake */
#ifndef QUEUE_COMPOSE_H
#define QUEUE_COMPOSE_H

#include "common/table.h"

#define COMPOSE_WARNS "warn" /* the argument of heloise-bounce that asks for warnings too */

struct compose {
  int file, intake; /* descriptors: the queue file, and an INJECT channel */
  struct table *tables;
  int warns; /* recipients that wait are reported as delayed, where that is wanted */
};

/* 0: the report is durable; -1: it is not, the log says why */
int compose_report(const struct compose *c);

#endif
