/* story.h - the attempts of a message, told in sentences
 *
 * Pure. Made from the history; for `heloise queue show` and `why`, failure reports and
 * warnings of delay. What comes from peers stays escaped as in the history. */
#ifndef QUEUE_STORY_H
#define QUEUE_STORY_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <stralloc.h>

#include "queue/envelope.h"
#include "queue/history.h"

struct story {
  size_t n;
  struct story_line **line; /* bound: HISTORY_MAX bytes of them */
};

/* takes a line of the history; arg is the story, to be passed to history_each(). 0, or -1
 * (ENOMEM) */
int story_note(void *arg, const struct history_line *l);
void story_free(struct story *s);

struct story_teller {
  const struct envelope *e;
  /* whether outcomes of recipient i are told; NULL: all */
  int (*is_wanted)(void *arg, size_t i);
  size_t attempts; /* told at most: the first and the last ones; 0: all */
  /* takes one sentence; depth 0: an attempt begins, 1: what happened in it. 0, or -1 to stop */
  int (*say)(void *arg, int depth, const char *sentence);
  void *arg;
};
/* tells what was tried: 0, or -1 */
int story_tell(const struct story *s, const struct story_teller *t);
/* tells what the next attempt, at the time `next`, does in another way than usual, and why:
 * sentences of depth 0. How many, or -1 */
int story_plans(const struct story *s, uint64_t next, const struct story_teller *t);
/* when the sender was last told of that (an action, notify.h): epoch, 0: never, or it is
 * forgotten */
uint64_t story_told(const struct story *s, const char *action);
/* the lines as JSON objects in an array */
json_t *story_json(const struct story *s);

#endif
