/* work_parts.h - what the files of work.h share, and nobody else uses */
#ifndef QUEUE_WORK_PARTS_H
#define QUEUE_WORK_PARTS_H

#include "queue/work.h"

#define AGAIN_SOON 10 /* seconds: something on our side went wrong */
#define AGAIN_LATER 60

struct waiting;

extern int work_queue; /* the queue directory */

static inline int work_is_in_journal(const struct work *w)
{
  return w->name.state == STORE_FLIGHT;
}

static inline int work_is_first_attempt(const struct work *w)
{
  return w->name.state == STORE_NEW || work_is_in_journal(w);
}

/* nobody works on it any more; and it has left the queue */
void work_free(struct work *w);
void work_forget(struct work *w);

/* a message that is in the journal becomes a file, with all that is known of it. 0, or -1 */
int work_file_as(struct work *w, enum store_state s, uint32_t next, uint32_t hop);

/* when recipient i is tried again by its schedule, whether or not it was tried now */
uint64_t work_own_turn(const struct work *w, size_t i);
/* its times, as it was read, are told by the clock of today */
void work_begin_clock(struct work *w, struct waiting *rec);
/* the clock may be set while a message is being worked on */
void work_mind_clock(struct work *w);

#endif
