/* inspect.h - what the queue commands show: list, show, why, stats, mailq and what they share
 *
 * Used by the manager (in a child of its own, so that mail goes on) and, while it is down, by
 * the command under the instance's lock. Files are hostile until parsed; everything shown
 * from them is escaped. */
#ifndef QUEUE_INSPECT_H
#define QUEUE_INSPECT_H

#include <stddef.h>
#include <stdint.h>

#include "common/table.h"
#include "queue/request.h"
#include "queue/store.h"

struct inspect_message {
  struct store_name name;
  int is_active;   /* being worked on */
  uint32_t due;    /* epoch; UINT32_MAX: not by itself */
  /* of one that was found, and is being worked on: what is under way */
  size_t attempts, turns; /* attempts that run; destinations at which it waits for its turn */
  int is_reporting;       /* a report to its sender is being made */
  const char *ordered;    /* what is done when that ends: "hold", "remove", "bounce"; NULL: nothing */
};

#define INSPECT_ALL (-1L)

struct inspect_view {
  int queue_fd;
  int is_live; /* the manager goes on meanwhile */
  const struct table *tables;
  long only; /* a user's id: nothing but what that user sent is shown; INSPECT_ALL */
  /* calls f for every message until it returns non-zero */
  int (*each)(int (*f)(void *arg, const struct inspect_message *m), void *arg);
  /* finds one: 0, or -1 */
  int (*find)(const char *id, struct inspect_message *m);
  /* what holds up mail for a next hop now, in a sentence, or ""; NULL while nothing runs */
  void (*explain)(const char *nexthop, char text[600]);
  /* takes whole lines for standard output (error 0) or standard error; -1: nobody reads */
  int (*print)(void *arg, const char *s, size_t len, int error);
  /* how many messages there are, about; and how far a command has come. May be NULL */
  uint64_t (*count)(void);
  void (*progress)(void *arg, uint64_t done, uint64_t total);
  void *arg;
};

/* whether a verb only looks: inspect_run() does it */
int inspect_does(enum request_verb verb);
/* runs such a command line. The exit code (verdict.h). */
int inspect_run(const struct inspect_view *v, int argc, const char *const *argv);
/* prints one line; -1: nobody reads */
int inspect_say(const struct inspect_view *v, int error, const char *format, ...)
  __attribute__((format(printf, 3, 4)));

#endif
