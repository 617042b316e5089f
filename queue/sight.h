/* sight.h - one message as it is shown: read, and put into words */
#ifndef QUEUE_SIGHT_H
#define QUEUE_SIGHT_H

#include <jansson.h>

#include "queue/envelope.h"
#include "queue/filter.h"
#include "queue/history.h"
#include "queue/inspect.h"

/* one message, read */
struct sight {
  const struct inspect_view *v;
  struct inspect_message own;
  const struct inspect_message *m; /* own: its name is the one under which it was found */
  struct envelope e;
  int fd;
  char **reply; /* last one per recipient, or NULL; escaped */
};

/* finds and opens a message, with replies: 0, or an exit code after a complaint */
int sight_look(const struct inspect_view *v, const char *id, struct inspect_message *m,
               struct sight *s);
/* opens one, also when it was moved meanwhile: 0; -1: it is gone or does not parse, with *why */
int sight_open(struct sight *s, const struct inspect_view *v, const struct inspect_message *m,
               const char **why);
/* reads the last answers. 0, or -1 (ENOMEM) */
int sight_replies(struct sight *s);
void sight_close(struct sight *s);

/* the last answer for a recipient, or "" */
const char *sight_reply(const struct sight *s, size_t i);
enum filter_state sight_state(const struct inspect_message *m);
const char *sight_state_word(const struct inspect_message *m);
/* what is under way for one that is being worked on, to stand behind its state; or "" */
const char *sight_doing(const struct inspect_message *m);
/* the same as an object "under_way", null for one that waits */
void sight_under_way(const struct sight *s, json_t *o);
/* calls f for every message that is meant, opened, until it returns non-zero; that, or 0 */
int sight_each(const struct inspect_view *v, const struct filter *f,
               int (*take)(void *arg, struct sight *s), void *arg);
/* when the next attempt is: epoch; it is taken up at m->due, perhaps for a warning only.
 * UINT32_MAX: not by itself */
uint64_t sight_next(const struct sight *s);
const char *sight_rcpt(enum rcpt_status s);

/* in static buffers, a few at a time */
const char *sight_clean(const char *s); /* escaped */
const char *sight_duration(uint64_t seconds);
const char *sight_time(uint64_t epoch);
const char *sight_when(uint64_t t); /* "in 5m", "now" */
uint64_t sight_now(void);

/* the fields that list, show and why have in common */
json_t *sight_json(const struct sight *s);
/* prints and releases it: 0, or -1: nobody reads */
int sight_print(const struct inspect_view *v, json_t *o);

#endif
