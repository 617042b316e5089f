/* build.h - `heloise check` and `build`: control tables to one cdb file, all or nothing */
#ifndef CONF_BUILD_H
#define CONF_BUILD_H

#include <stralloc.h>

#include "common/instance.h"

/* where complaints go: lines for a person, "control/routes:12: expected ..." */
struct build_report {
  stralloc text; /* bound: a line per line of the tables */
  unsigned int errors;
};

/* compiles all tables of control directory dirfd into fd and those that are secret into
 * secret_fd (empty, read-write); `label` stands before a table's name in the report. 0; -1 when a table has errors (see report) or with
 * errno when nothing could be checked (report->errors is 0 then). */
int build_compile(int dirfd, const char *label, int fd, int secret_fd, struct build_report *report);

/* the commands: complaints go to standard error; exit codes of verdict.h */
int build_check(const struct instance *i);
int build_tables(const struct instance *i);

#endif
