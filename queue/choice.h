/* choice.h - the messages that a command acts on: named, or taken by a filter */
#ifndef QUEUE_CHOICE_H
#define QUEUE_CHOICE_H

#include <stddef.h>

#include "queue/desk.h"
#include "queue/request.h"

struct chosen {
  char id[32]; /* as named: it may be none */
  char is_held, is_active;
};

struct choice {
  struct chosen *item; /* bound: one for each message in the queue, or argument */
  size_t n, room;
};

/* the ids that were named, each once. 0, or an exit code after a complaint */
int choice_named(struct choice *c, const char *const *id, size_t n);
/* one more. 0, or -1 (ENOMEM) */
int choice_add(struct choice *c, const char *id);
/* asks which messages a filter takes (ids NULL), or which of these are there and in which state.
 * 0, or an exit code after a complaint */
int choice_ask(struct choice *c, struct desk *d, const struct filter *f, const struct choice *ids);
void choice_free(struct choice *c);

/* writes ids, separated by spaces, from item `from` on, at most max of them; how many */
size_t choice_ids(const struct choice *c, size_t from, size_t max, stralloc *out);

/* whether to go on: one message, --yes, or a person says so. 0: no, with *code */
int choice_is_confirmed(const struct choice *c, const struct request *q, int *code);

#endif
