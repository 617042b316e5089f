/* past.c - what earlier attempts and a reply's wish mean for the next attempt
 *
 * Runs in attempts. The message's history is advice, and peers' replies stand in it. */
#include "deliver/past.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/settings.h"
#include "common/units.h"
#include "deliver/statedelay.h"
#include "queue/history.h"

#define STATED_LEAST 30    /* seconds: a stated delay moves the next attempt no nearer than this */
#define STATED_MOST 3600   /* ... and no farther */
#define MOVED "next attempt moved to " /* in the text, and so in the history */
#define MOVED_TEXT 1200    /* bytes of a reply that leave room for it */

/* when the reply wants to see us again, within bounds; 0: it does not say, or we do not listen */
uint64_t past_stated(const struct attempt *a, const struct recipient *r, uint64_t end)
{
  static const char said[] = "] said: 4";
  const char *reply = r->text.len ? memmem(r->text.s, r->text.len, said, sizeof said - 1) : NULL;
  uint64_t delay, now = (uint64_t)time(NULL);

  if (!settings.stated_delay || r->was_moved || a->is_uncharged || !reply || end <= now)
    return 0;
  reply += sizeof said - 2;
  delay = statedelay_find(reply, (size_t)(r->text.s + r->text.len - reply));
  if (delay == 0)
    return 0;
  delay = delay < STATED_LEAST ? STATED_LEAST : delay > STATED_MOST ? STATED_MOST : delay;
  return now + delay < end ? now + delay : end;
}

void past_moved(struct recipient *r, uint64_t until)
{
  if (r->text.len > MOVED_TEXT)
    r->text.len = MOVED_TEXT;
  if (stralloc_cats(&r->text, " (" MOVED) && units_format_time(&r->text, until) == 0)
    stralloc_cats(&r->text, ", as the reply asks)");
}

/* what earlier attempts left in the file: advice, and hostile text */
static int note_past(void *arg, const struct history_line *l)
{
  struct attempt *a = arg;
  uint64_t number;

  if (l->kind == 's' && strcmp(l->field[2], ladder_rung_word(RUNG_DOT)) == 0 &&
      (strncmp(l->field[3], "answered", 8) != 0 || l->field[4][0] == '3'))
    snprintf(a->lost_at, sizeof a->lost_at, "%s", l->field[1]);
  if (l->kind != 'o' || units_number(l->field[0], strlen(l->field[0]), &number) != 0)
    return 0;
  for (size_t i = 0; i < a->n; i++)
    if (a->recipient[i].number == number) {
      a->recipient[i].was_moved = strstr(l->field[4], "(" MOVED) != NULL;
      a->tried_at = l->time;
    }
  return 0;
}

void past_read(struct attempt *a)
{
  history_each(a->given->message, &a->env, note_past, a);
}
