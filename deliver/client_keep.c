/* client_keep.c - a connection serves one message after the other
 *
 * Runs in attempts. The greeting, TLS, and what the peer offered stay as they were; what is known of the
 * peer and what the message needs are looked up anew. LADDER.md D20, D22, X25. */
#include "deliver/client.h"

#include <stdio.h>
#include <string.h>

#include "common/settings.h"
#include "common/verbs.h"
#include "deliver/transaction.h"

#define FALLBACK_AGE 30000 /* ms: then the better hosts are looked at again */

/* ---- before: may it be kept? */

static uint64_t age_left(const struct session *s)
{
  uint64_t most = settings.session_reuse_age, age = conn_clock() - s->opened;

  if (s->is_fallback && most > FALLBACK_AGE)
    most = FALLBACK_AGE;
  return age < most ? most - age : 0;
}

static int may_stay(const struct session *s)
{
  return s->end == DO_GO_ON && s->conn.fd >= 0 && !s->words.no_reuse && !s->target->is_in_clear &&
         !peers_holds(&s->card, FACT_NO_REUSE, s->attempt->now) &&
         settings.session_reuse_idle > 0 && s->transactions < settings.session_reuse_count &&
         (s->ehlo.mail_max == 0 || s->transactions < s->ehlo.mail_max);
}

uint64_t client_stays(struct session *s)
{
  uint64_t left = may_stay(s) ? age_left(s) : 0;

  if (left == 0 || transaction_clear(s) != 0 || !conn_is_quiet(&s->conn))
    return 0;
  spoken_note(s->conn.spoken, "the connection is kept for the next message");
  s->place.is_later = 0; /* that was the message's, not the peer's */
  s->place.off = 0;
  s->place.facts = 0;
  s->place.row = NULL;
  s->attempt = NULL;
  s->conn.spoken = NULL;
  return left;
}

/* ---- after: does it suit the next message? */

int client_suits(struct session *s, struct attempt *a)
{
  const struct eightbit_case *c = &a->eight;

  if (s->conn.fd < 0)
    return 0;
  client_prepare(s, a);
  if (a->lost_at[0] && strcmp(a->lost_at, s->address) != 0)
    return 0; /* another host may have the message already, and is asked first (D13) */
  s->verbs = s->ehlo.verbs & ~s->off;
  if ((s->facts & (IF_TLS_NEEDED | IF_TLS_HISTORY)) && !s->conn.tls)
    return 0;
  if ((s->facts & IF_NEEDED) && s->is_plain)
    return 0;
  if ((s->facts & IF_MUST_UTF8) && !(s->verbs & VERB_SMTPUTF8))
    return 0;
  return !c->is_signed || !(c->has_8bit || c->has_long_lines) || (s->verbs & VERB_8BITMIME);
}

void client_resume(struct session *s, struct attempt *a)
{
  char what[CLIENT_EVENT];

  s->connections = 0;
  s->reached = RUNG_COUNT; /* by this attempt: what was kept may be gone */
  s->is_taken_over = 1;
  s->begins_with = s->transactions + 1;
  client_connection(s, what);
  spoken_taken_over(&a->spoken, s->place.host, s->address, s->place.port, what);
  client_go_on(s, transaction_run(s));
}
