/* notes.c - what an attempt notices about a peer besides what the ladder's rows say
 *
 * Runs in attempts. The reply in the session is hostile. */
#include "deliver/notes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/verbs.h"

#define SLOW_BANNER 60000  /* ms: who takes longer is tried after its equals */

/* what was seen, in words: the evidence of what is learned from it */
void notes_lesson(struct session *s, enum ladder_rung rung, enum saw saw)
{
  char event[CLIENT_EVENT];
  stralloc text = {0};

  client_event(s, event, rung, saw);
  if (saw == SAW_REPLY && s->reply.code != 0 &&
      reply_format(&text, &s->reply, sizeof s->lesson - 1) == 0 && stralloc_0(&text))
    snprintf(s->lesson, sizeof s->lesson, "%s", text.s);
  else
    snprintf(s->lesson, sizeof s->lesson, "%.*s", (int)sizeof s->lesson - 1, event);
  free(text.s);
}

/* lines that are no replies, or codes that differ within one, and batches of commands: mail was
 * lost that way (B12) */
void notes_garbage(struct session *s, enum ladder_rung rung)
{
  struct ladder_row row = {.number = rung == RUNG_BANNER   ? "B12"
                                     : rung == RUNG_DOT    ? "D17"
                                     : rung > RUNG_READY   ? "X5"
                                     : s->reply.garbage > 0 ? "E22"
                                                           : "E21"};

  if ((s->reply.garbage == 0 && !s->reply.is_mixed) || (s->off & VERB_PIPELINING))
    return;
  s->off |= VERB_PIPELINING;
  s->verbs &= ~(uint32_t)VERB_PIPELINING;
  client_learn(s, FACT_NO_PIPELINING, &row, (uint16_t)s->reply.code);
}

/* a starred banner: a box between us rewrites SMTP (B11) */
void notes_stars(struct session *s)
{
  static const struct ladder_row starred = {.number = "B11"};

  if (strncmp(s->reply.text, "****", 4) != 0)
    return;
  s->facts |= IF_PIX;
  if (!peers_holds(&s->card, FACT_PIX, s->attempt->now))
    client_learn(s, FACT_PIX, &starred, (uint16_t)s->reply.code);
}

void notes_time(struct session *s, uint64_t took)
{
  static const struct ladder_row late = {.number = "B1"};

  if (took < SLOW_BANNER)
    client_unlearn(s, FACT_SLOW_BANNER, "B1");
  else
    client_learn(s, FACT_SLOW_BANNER, &late, (uint16_t)s->reply.code);
}

/* "500 XXXX": something between us overwrote our command (E30) */
void notes_filter(struct session *s)
{
  static const struct ladder_row row = {.number = "E30"};

  if (s->reply.code / 100 != 5 || !strstr(s->reply.text, "XXXX"))
    return;
  s->facts |= IF_PIX;
  notes_lesson(s, RUNG_EHLO, SAW_REPLY);
  if (!peers_holds(&s->card, FACT_PIX, s->attempt->now))
    client_learn(s, FACT_PIX, &row, (uint16_t)s->reply.code);
}
