/* work_times.c - messages being worked on: their schedule, and the clock it is told by
 *
 * Runs in the manager. */
#include "queue/work.h"

#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "common/program.h"
#include "common/retry.h"
#include "queue/clock.h"
#include "queue/pastclock.h"
#include "queue/waiting.h"
#include "queue/work_parts.h"

void work_schedule(const struct work *w, size_t i, struct retry *r, struct retry_message *m)
{
  static const struct table *of;
  static char domain[256];
  static struct retry last;
  const char *mine = envelope_domain(w->e.rcpt[i].address);

  if (of != program_table() || strcmp(domain, mine) != 0) {
    retry_find(program_table(), mine, strlen(mine), &last);
    of = strlen(mine) < sizeof domain ? program_table() : NULL;
    snprintf(domain, sizeof domain, "%s", mine);
  }
  *r = last;
  *m = (struct retry_message){.birth = w->e.created,
                              .key = XXH3_64bits(w->name.id, STORE_ID_LEN),
                              .tries = w->e.rcpt[i].attempts + 1,
                              .has_null_sender = !*w->e.sender};
}

uint64_t work_own_turn(const struct work *w, size_t i)
{
  struct retry_message m;
  struct retry r;
  uint64_t next;

  work_schedule(w, i, &r, &m);
  next = retry_next(&r, &m, clock_wall());
  return next ? next : clock_wall() + AGAIN_LATER;
}

static uint64_t moved(uint64_t t, int64_t by)
{
  return by < 0 && (uint64_t)-by > t ? 0 : t + (uint64_t)by;
}

/* how far the clock was set since the message was made. Between its making and the manager's
 * hearing of it a moment passes, which is no step: while nobody set the clock its times stand. */
static int64_t made_by_another_clock(const struct waiting *rec, uint64_t created)
{
  if (!rec->born)
    return clock_skew(rec->made_at) + pastclock_skew(created, clock_wall());
  return clock_steps() == 0 ? 0 : (int64_t)(clock_to_wall(rec->born) - created);
}

/* the clock was set since its times were written: they are told by the clock of today. What is
 * still to do is written anew, so that the file is of one clock again. */
static void tell_by_today(struct work *w, int64_t made, int64_t named)
{
  w->e.created = moved(w->e.created, made);
  for (size_t i = 0; named != 0 && i < w->e.nrcpt; i++) {
    struct envelope_rcpt *r = &w->e.rcpt[i];
    if (r->status != RCPT_TODO || r->next == 0 || r->next >= WAITING_NEVER)
      continue;
    r->next = moved(r->next, named);
    work_mark(w, i);
  }
}

void work_begin_clock(struct work *w, struct waiting *rec)
{
  tell_by_today(w, made_by_another_clock(rec, w->e.created), clock_skew(rec->named_at));
  rec->named_at = w->clock = clock_steps();
}

void work_mind_clock(struct work *w)
{
  int64_t by = clock_skew(w->clock);

  if (w->clock == clock_steps())
    return;
  w->clock = clock_steps();
  if (w->owed_again)
    w->owed_again = moved(w->owed_again, by);
  tell_by_today(w, by, by);
}
