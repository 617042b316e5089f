/* desk.h - where commands ask about the queue, and have it worked on
 *
 * With the daemon up the manager does the work (run/control); while it is down the command takes
 * the instance's lock and works on the queue itself. Which of the two it is, is known here only. */
#ifndef QUEUE_DESK_H
#define QUEUE_DESK_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/instance.h"
#include "queue/act.h"

struct desk {
  const struct instance *instance;
  int sock;                  /* to the manager, for acts; -1: it is down */
  int lock, queue_fd, tables_fd; /* while it is down; else -1 */
  struct table *tables;
};

/* what is answered goes here */
struct desk_sink {
  /* bytes for standard output (error 0) or standard error: 0, or -1 to stop */
  int (*print)(void *arg, const char *s, size_t len, int error);
  void (*progress)(void *arg, uint64_t done, uint64_t total); /* may be NULL */
  void *arg;
};

/* 0, or an exit code after a complaint. Close it in any case. */
int desk_open(struct desk *d, const struct instance *i);
void desk_close(struct desk *d);

/* has a command line that only looks (inspect.h) carried out; its exit code */
int desk_look(struct desk *d, int argc, const char *const *argv, const struct desk_sink *to);
/* does an act to at most ACT_IDS ids, or to a path (ACT_ASIDE): 0, with a letter (enum acted) for
 * each in letters (replaced, NUL-terminated); or an exit code after a complaint */
int desk_act(struct desk *d, enum act a, const char *ids, const char *text, stralloc *letters);
/* gives an archive to be taken in: read(arg, ...) returns bytes read, 0 at its end, -1 with errno.
 * The exit code. */
int desk_import(struct desk *d, int json, const struct desk_sink *to,
                long (*read)(void *arg, char *buf, size_t len), void *arg);

/* asks the manager one thing. 1: answered, text in out (replaced), exit code in *code;
 * 0: nothing runs; -1: it runs and did not answer */
int queue_ask(const struct instance *i, int argc, const char *const *argv, stralloc *out, int *code);
/* takes the instance's lock, for work while nothing runs: a descriptor to close, or -1 (EWOULDBLOCK:
 * it runs) */
int queue_lock(const struct instance *i);

#endif
