/* bounce.c - program heloise-bounce: one report, composed and given to the intake
 *
 * Started by heloise-queue as hlqueue, for one message. Descriptors: 0 the queue file,
 * read-only; 3 a channel to the intake; 4 the compiled tables. It opens nothing. The queue
 * file is hostile. Exit code 0: the report is queued. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/confine.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/table.h"
#include "common/verdict.h"
#include "queue/compose.h"

#define FILE_FD 0
#define INTAKE_FD 3
#define TABLES_FD 4

static int fail(const char *what, const char *why)
{
  log_failed("bounce", what, why);
  return EXIT_TEMPFAIL;
}

int main(int argc, char **argv)
{
  struct compose c = {.file = FILE_FD, .intake = INTAKE_FD, .tables = table_open(TABLES_FD),
                      .warns = argc > 1 && strcmp(argv[1], COMPOSE_WARNS) == 0};
  const char *bad;

  if (!c.tables)
    return fail("tables", strerror(errno));
  if (settings_load(c.tables, &bad) != 0)
    return fail("setting", bad);
  if (confine_program("bounce", NULL, 0) != 0)
    return fail("confine", strerror(errno));
  return compose_report(&c) == 0 ? EXIT_OK : EXIT_TEMPFAIL;
}
